#define MLA_SCALE_KERNEL_TABLE mla_scale_kernel_x86_64_v3
#define MLA_SCALE_KERNEL_NAME "x86-64-v3"
#include "vector_kernel.inc"
