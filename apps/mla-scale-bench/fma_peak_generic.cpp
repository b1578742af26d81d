#define MLA_SCALE_PEAK_TABLE fma_peak_generic
#include "fma_peak_loop.inc"
