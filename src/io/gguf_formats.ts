/**
 * The types of GGUF files that are written (gguf_writer.ts).
 */

/** By ggml's names. */
export const formats = ['F32', 'F16', 'Q8_0', 'Q4_0', 'Q4_1'] as const
export type Format = (typeof formats)[number]
