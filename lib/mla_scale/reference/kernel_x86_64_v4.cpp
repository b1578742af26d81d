#define MLA_SCALE_KERNEL_TABLE mla_scale_kernel_x86_64_v4
#define MLA_SCALE_KERNEL_NAME "x86-64-v4"
#include "vector_kernel.inc"
