/**
 * Whether WebGPU decodes a model faster than WebAssembly on this machine, by measurement. Its numbers are those of WebAssembly bit for
 * bit, or it is not used.
 */
import { createBackend } from '../../backends/select.ts'
import type { LanguageModel } from '../../engine/language_model.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import { findGpu } from '../../platform/gpu.ts'
import { ShadowError } from '../../tensor/errors.ts'
import { median } from '../../results/interleaved_rounds.ts'
import type { BackendChoice } from './model_info.ts'
import { timeTurns, TURN } from './speed_rounds.ts'

/** What is measured: rounds of turns, after a prompt of some tokens. */
const ROUNDS = { least: 2, most: 7 }
const PROMPT = 8

/** Tokens per second of models, in interleaved rounds. @throws the signal's reason */
async function measure(models: readonly LanguageModel[], signal?: AbortSignal): Promise<number[]> {
  const tokens = Array.from({ length: PROMPT }, (_, i) => (7 * i + 3) % models[0].config.vocabulary)
  const capacity = PROMPT + ROUNDS.most * TURN
  const sequences = models.map((model) => model.begin({ capacity }))
  try {
    const logits = sequences.map((sequence) => sequence.feed(Int32Array.from(tokens), 'last'))
    if (!logits[0].every((logit, i) => Object.is(logit, logits[1][i]))) return []
    const times = await timeTurns(sequences, tokens, ROUNDS, signal)
    return times.map((turns) => 1000 / median(turns))
  } finally {
    for (const sequence of sequences) sequence.dispose()
  }
}

/**
 * The model on WebGPU, if that is faster; and what was found.
 * @param open opens it there
 * @param measured tokens per second of both models; empty if their logits differ
 * @throws the signal's reason
 */
export async function fasterModel(
  held: ShadowModel,
  open: () => Promise<ShadowModel>,
  signal?: AbortSignal,
  measured: typeof measure = measure,
): Promise<{ readonly choice: BackendChoice; readonly faster: ShadowModel | null }> {
  const without = (reason: BackendChoice['reason'], words: string | null = null) => ({
    choice: { speeds: null, reason, words },
    faster: null,
  })
  let other: ShadowModel | null = null
  try {
    const adapter = await (await findGpu())?.requestAdapter({ powerPreference: 'high-performance' })
    if (!adapter) return without('missing')
    const backend = await createBackend('webgpu')
    const { name, device, notExact } = backend
    backend.dispose()
    if (name !== 'webgpu') return without('inexact', `${device}: ${notExact}`)
    other = await open()
    const [wasm, webgpu] = await measured([held.model, other.model], signal)
    if (webgpu === undefined) return without('inexact', `${device}: other logits`)
    const faster = webgpu > wasm ? other : null
    if (faster !== null) other = null
    return { choice: { speeds: { wasm, webgpu }, reason: null, words: device ?? null }, faster }
  } catch (error) {
    signal?.throwIfAborted()
    if (!(error instanceof ShadowError)) throw error
    return without(
      error.code === 'GPU_MISSING' || error.code === 'THREADS_MISSING' ? 'missing' : 'failed',
      error.message,
    )
  } finally {
    await other?.dispose()
  }
}
