/**
 * What WebAssembly in this runtime can do, found by validating the smallest module that needs each feature.
 */

const start = [0, 97, 115, 109, 1, 0, 0, 0]

/** Bytes of one module per feature; the comment is its one instruction that matters. */
const probes = {
  // i8x16.splat
  simd: [...start, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11],
  // i8x16.relaxed_swizzle
  relaxedSimd: [
    ...[...start, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0],
    ...[10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11],
  ],
  // i32.atomic.load on a shared memory
  threads: [
    ...[...start, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 5, 4, 1, 3, 1, 1],
    ...[10, 11, 1, 9, 0, 65, 0, 254, 16, 2, 0, 26, 11],
  ],
} as const

export interface WasmFeatures {
  readonly simd: boolean
  readonly relaxedSimd: boolean
  /** Shared memory and atomic instructions in WebAssembly. */
  readonly threads: boolean
  /** Memory that workers can share, which threads need too. */
  readonly sharedMemory: boolean
}

/** Asks this runtime. */
export function probeWasm(): WasmFeatures {
  const has = (bytes: readonly number[]): boolean =>
    typeof WebAssembly === 'object' && WebAssembly.validate(Uint8Array.from(bytes))
  return {
    simd: has(probes.simd),
    relaxedSimd: has(probes.relaxedSimd),
    threads: has(probes.threads),
    sharedMemory: typeof SharedArrayBuffer === 'function',
  }
}
