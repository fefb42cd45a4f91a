/**
 * What rounding weights to four bits costs, by how many numbers share a scale: KL from float32 and perplexity, of a model
 * that has weights in more bits. It is how the format of int4 was chosen.
 *
 *   node scripts/node.mjs bench/formats.ts MODEL [--texts 16]
 *
 * Only the matrices of the layers are rounded, to float32 numbers that the format can hold; activations are not. Texts are
 * those of `shadowllm inspect --storage`.
 */
import { parseArgs } from 'node:util'
import { createBackend } from '../src/backends/select.ts'
import { loadBrown } from '../src/data/corpus.ts'
import { parseConfig } from '../src/engine/config.ts'
import { LanguageModel } from '../src/engine/language_model.ts'
import { measureStorages, storageTexts } from '../src/evaluation/storage_error.ts'
import { openModelFolder } from '../src/io/load.ts'
import { commandArguments, endWhenIdle, write } from '../src/platform/platform.ts'
import { memorySource, type HostTensor } from '../src/tensor/memory_source.ts'
import { table } from './timing.ts'

const { abs, floor, max, min, round } = Math

/** Rounds numbers that share a scale, in place. */
type Rounding = (x: Float32Array) => void

/** The number of the largest size becomes -levels; others whole steps from -levels to levels - 1. */
const symmetric =
  (levels: number): Rounding =>
  (x) => {
    const largest = x.reduce((most, value) => (abs(value) > abs(most) ? value : most), 0)
    const step = largest / -levels
    if (step === 0) return
    for (let i = 0; i < x.length; i++) x[i] = step * max(-levels, min(levels - 1, floor(x[i] / step + 0.5)))
  }

/** The smallest number and the largest are exact, and so many whole steps lie between them. */
const withMinimum =
  (steps: number): Rounding =>
  (x) => {
    const least = x.reduce((one, other) => min(one, other), Infinity)
    const step = (x.reduce((one, other) => max(one, other), -Infinity) - least) / steps
    if (step === 0) return
    for (let i = 0; i < x.length; i++) x[i] = least + step * round((x[i] - least) / step)
  }

/** Ways to round, with the numbers of a row that share a scale, and bits of each number with scales of 16 bits. */
const formats: Readonly<Record<string, readonly [Rounding, share: number]>> = {
  '8 bits, a scale a row': [symmetric(127), Infinity],
  '4 bits, a scale a row': [symmetric(8), Infinity],
  '4 bits, a scale for 128': [symmetric(8), 128],
  '4 bits, a scale for 32': [symmetric(8), 32],
  '4 bits, scale and minimum a row': [withMinimum(15), Infinity],
  '4 bits, scale and minimum for 128': [withMinimum(15), 128],
  '4 bits, scale and minimum for 32': [withMinimum(15), 32],
}

function roundTensor({ shape, values }: HostTensor, name: string, format: string): HostTensor {
  const found = formats[format]
  if (!found || shape.length !== 2 || !name.includes('.layers.')) return { shape, values }
  const [rounding, share] = found
  const [rows, columns] = shape
  const rounded = values.slice()
  for (let row = 0; row < rows; row++)
    for (let from = 0; from < columns; from += share)
      rounding(rounded.subarray(row * columns + from, row * columns + min(columns, from + share)))
  return { shape, values: rounded }
}

async function main(path: string, count: number): Promise<void> {
  const { configJson, source, tokenizer } = await openModelFolder(path)
  const config = parseConfig(configJson)
  if (!tokenizer) throw new RangeError(`${path}: expected a tokenizer, got none`)
  const tensors = new Map<string, HostTensor>()
  for (const [name, { shape }] of source.tensors)
    tensors.set(name, { shape, values: await source.read(name) })
  const encode = (text: string): number[] => tokenizer.encode(text, { prefix: false })
  const texts = storageTexts(await loadBrown(), encode, tokenizer.prefixIds, config.positions, count)
  const errors = await measureStorages(texts, Object.keys(formats), async (format) => {
    const rounded = new Map([...tensors].map(([name, one]) => [name, roundTensor(one, name, format)]))
    return LanguageModel.load(config, memorySource(rounded), await createBackend('wasm'))
  })
  const rows = errors.map(({ storage, kl, tokenPerplexity, agreed }) => [
    storage,
    kl.toFixed(4),
    tokenPerplexity.toFixed(3),
    `${(100 * agreed).toFixed(1)} %`,
  ])
  await write('stdout', `${table([['format', 'KL, nats', 'perplexity', 'same likeliest token'], ...rows])}\n`)
}

const { positionals, values } = parseArgs({
  args: commandArguments(),
  options: { texts: { type: 'string', default: '16' } },
  allowPositionals: true,
})
await main(positionals[0] ?? 'fixtures/tiny-opt', Number(values.texts))
endWhenIdle(0)
