/**
 * Dense decoding of a model with the shape of OPT-125m, random weights, f32: tokens per second of the wasm backend and
 * of the reference, in turns. Both must say the same, bit for bit, before their times mean anything.
 */
import { write } from '../src/platform/platform.ts'
import type { Backend } from '../src/backends/backend.ts'
import { createBackend } from '../src/backends/select.ts'
import { makeConfig, type ModelConfig } from '../src/engine/config.ts'
import { initialWeights } from '../src/engine/initial_weights.ts'
import { LanguageModel } from '../src/engine/language_model.ts'
import type { Sequence } from '../src/engine/sequence.ts'
import { memorySource } from '../src/tensor/memory_source.ts'
import { figure, ratio, table, interleave, type Job } from './timing.ts'

/** The shape of OPT-125m. */
export const config: ModelConfig = makeConfig({
  layers: 12,
  width: 768,
  heads: 12,
  neurons: 3072,
  vocabulary: 50272,
  positions: 2048,
})

export const PROMPT = Int32Array.of(2, 100, 200, 300, 400, 500, 600, 700)
const ROUNDS = 9

/** Tokens per second from tokens per millisecond. */
const PER_SECOND = 1000

/** A job that feeds one token after the other. */
export function decodeJob(name: string, sequence: Sequence, tokens: number): Job {
  return {
    name,
    work: tokens,
    run: () => {
      for (let i = 0; i < tokens; i++) sequence.feed(Int32Array.of(1000 + i), 'last')
    },
  }
}

function firstDifference(a: Float32Array, b: Float32Array): number {
  return a.findIndex((value, i) => !Object.is(value, b[i]))
}

export async function run(): Promise<void> {
  const source = memorySource(initialWeights(config, { seed: 1 }))
  const backends: Backend[] = [await createBackend('reference'), await createBackend('wasm')]
  const sequences: Sequence[] = []
  for (const backend of backends)
    sequences.push((await LanguageModel.load(config, source, backend)).begin({ capacity: 1024 }))
  const [expected, actual] = sequences.map((sequence) => sequence.feed(PROMPT, 'last'))
  if (firstDifference(expected, actual) !== -1) throw new Error('decode: the backends disagree')

  const [reference, wasm] = interleave(
    [decodeJob('reference', sequences[0], 1), decodeJob('wasm', sequences[1], 16)],
    ROUNDS,
  )
  await write('stdout', `OPT-125m shape, f32, dense, tokens/s: median (best) of ${ROUNDS} rounds\n`)
  const rows = [reference, wasm].map((one) => [
    one.name,
    figure(one, PER_SECOND),
    ratio(one, reference).toFixed(1),
  ])
  await write('stdout', table([['backend', 'tokens/s', 'x reference'], ...rows]))
  for (const backend of backends) backend.dispose()
}
