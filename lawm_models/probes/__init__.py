"""What a latent action is: figures on trajectories that no training has seen, beside anchors.

Probes read actions that masks hide, in order to judge. They return figures over many steps and
write no action; nothing that trains may import this room, which the import contracts check.
"""
