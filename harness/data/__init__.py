"""Data sets: conversion into the data folder, catalog, cards, and draws of examples for roles."""
