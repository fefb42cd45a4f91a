/** Which key head an attention head reads (src/ops/key_heads.ts). */
#pragma once
#include "common.cuh"

/** The key head, below G, of head h of H; without a list neighbours share one. */
__device__ inline int key_head_of(const int *key_heads, int h, int G, int H) {
  return key_heads ? key_heads[h] : (int)((long long)h * G / H);
}
