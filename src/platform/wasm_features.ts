/**
 * The WebAssembly features of this runtime, detected by validating a minimal module for each feature.
 */

/** "\0asm", version 1. */
const preamble = '00 61 73 6d 01 00 00 00'

/** The sections of one module per feature; the comment names its decisive instruction. */
const probes = {
  // i8x16.splat
  simd: '01 04 01 60 00 00 03 02 01 00 0a 09 01 07 00 41 00 fd 0f 1a 0b',
  // i8x16.relaxed_swizzle
  relaxedSimd: '01 05 01 60 00 01 7b 03 02 01 00 0a 0f 01 0d 00 41 01 fd 0f 41 02 fd 0f fd 80 02 0b',
  // i32.atomic.load on a shared memory
  threads: '01 04 01 60 00 00 03 02 01 00 05 04 01 03 01 01 0a 0b 01 09 00 41 00 fe 10 02 00 1a 0b',
} as const

/** The detected features. */
export interface WasmFeatures {
  readonly simd: boolean
  readonly relaxedSimd: boolean
  /** Shared memory and atomic instructions in WebAssembly. */
  readonly threads: boolean
  /** SharedArrayBuffer, which threads also need. */
  readonly sharedMemory: boolean
}

/** Detects the features. */
export function probeWasm(): WasmFeatures {
  const has = (sections: string): boolean => {
    const bytes = `${preamble} ${sections}`.split(' ').map((byte) => parseInt(byte, 16))
    return typeof WebAssembly === 'object' && WebAssembly.validate(Uint8Array.from(bytes))
  }
  return {
    simd: has(probes.simd),
    relaxedSimd: has(probes.relaxedSimd),
    threads: has(probes.threads),
    sharedMemory: typeof SharedArrayBuffer === 'function',
  }
}
