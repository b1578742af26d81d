#define MLA_SCALE_KERNEL_TABLE mla_scale_kernel_generic
#define MLA_SCALE_KERNEL_NAME "generic"
#include "vector_kernel.inc"
