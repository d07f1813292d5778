// The init helper's program as bytes of the shim.
__asm__(
    ".section .rodata\n"
    ".global swarm_init_begin\n.global swarm_init_end\n.balign 16\n"
    "swarm_init_begin:\n.incbin \"" SWARM_INIT_PATH "\"\nswarm_init_end:\n.byte 0\n.text\n");
