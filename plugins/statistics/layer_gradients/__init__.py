"""Squared norms of layer gradients for many groups in one forward and one backward pass.

Each module imports only from those above it:

    objectives      the function to differentiate: log p(x), or the sum over the latents
    norms           squared norms of gradients, including products never multiplied out
    registry        registration and lookup of rules; `Call`, the input to a rule
    vmap            gradients for any module, by automatic vectorisation
    reference       the definition, a backward pass per group: test oracle and fallback
    rules/          gradients for known modules: torch's modules, flow layers, a whole Glow level
    graph           modules able to give a parameter's gradient, read off autograd's graph
    plan            the method chosen for each parameter: fused, rule, vmap, or loop
    recorder        runs a plan in a single pass: hooks keep inputs and await gradients
    verification    compares a plan with autograd on three groups, and repairs differences
    allocations     counts the bytes allocated in a pass, so that chunks fit into memory
    engine          puts all parts together, and remembers the plan for each model

The idea: for a module in the middle of the model, the parameter gradients follow from the inputs
and the output gradients alone. For a linear map y = W a, the gradient is the sum of δ a^T over
examples, and the squared norm follows from inner products of a and δ, without forming the matrix
(Goodfellow, 2015, arXiv 1510.01799). So a pass over many groups can give the norm for each group.
"""
