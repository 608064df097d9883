"""Squared norms of layer gradients for many groups in one forward and one backward pass.

Each module imports only from those above it:

    objectives      what is differentiated: log p(x), or the sum of the latents
    norms           squared norms of gradients, also of products that are never multiplied out
    registry        how rules are registered and found; `Call`, which a rule is given
    vmap            gradients of any module, by automatic vectorisation
    reference       the definition, one backward pass per group: the oracle, and the fallback
    rules/          gradients of known modules: of torch, of our flows, a whole level of Glow
    graph           modules that can give a parameter's gradient, read off autograd's graph
    plan            the way chosen for each parameter: fused, rule, vmap, or loop
    recorder        one pass that carries out a plan: hooks keep inputs and await gradients
    verification    a plan held against autograd on three groups, and mended where it differs
    allocations     bytes that a pass takes, counted, so that chunks fit into memory
    engine          all of it together, and the plan of each model remembered
"""
