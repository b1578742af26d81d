#define MLA_SCALE_PEAK_TABLE fma_peak_x86_64_v3
#include "fma_peak_loop.inc"
