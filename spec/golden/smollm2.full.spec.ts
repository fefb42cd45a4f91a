/**
 * A real model from its GGUF file: SmolLM2-135M-Instruct, against values that Hugging Face transformers gives in float64 on the
 * exactly dequantised weights. The tolerances are those of the file's README for float32 arithmetic.
 *
 * llama.cpp rounds activations to 8 bits, so its greedy text leaves the exact one. Where it does is stated in the last test:
 * at each of these places the exact text is ours.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { plainact } from '../../src/criteria/plainact.ts'
import { backward } from '../../src/engine/backward.ts'
import { parseConfig } from '../../src/engine/config.ts'
import { generateTokens } from '../../src/engine/generate.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { openModelFolder } from '../../src/io/load.ts'
import { openSafetensors, readIntegers, type RawTensorSource } from '../../src/io/safetensors.ts'
import type { Tokenizer } from '../../src/io/tokenizer.ts'
import { makeMask } from '../../src/masks/mask.ts'
import { Random } from '../../src/tensor/random.ts'
import { runSeed } from '../harness/seed.ts'
import { root } from '../harness/syntax.ts'
import { hasSmollm2, smollm2, smollm2File } from '../harness/smollm2.ts'
import { runInside } from '../cli/run_inside.ts'
import { worstError } from './golden.ts'

const tolerance = { logits: 5e-4, nll: 2e-4, perplexity: 1e-4, plainact: 2e-4, gap: 1e-3 } as const

interface Prompt {
  readonly text: string
  readonly input_ids: number[]
  readonly nll: number[]
  readonly greedy_ids: number[]
  readonly greedy_gap_to_second: number[]
}

const read = <T>(name: string): T => JSON.parse(readFileSync(join(smollm2, 'expected', name), 'utf8')) as T

describe.skipIf(!hasSmollm2)('SmolLM2-135M-Instruct, Q4_1', () => {
  let model: LanguageModel
  let tokenizer: Tokenizer
  let logitsFile: RawTensorSource
  let masksFile: RawTensorSource
  const prompts = hasSmollm2 ? Object.entries(read<Record<string, Prompt>>('prompts.json')) : []

  beforeAll(async () => {
    const folder = await openModelFolder(smollm2File)
    tokenizer = folder.tokenizer as Tokenizer
    model = await LanguageModel.load(
      parseConfig(folder.configJson),
      folder.source,
      await createBackend('wasm'),
    )
    await folder.source.close()
    logitsFile = await openSafetensors(join(smollm2, 'expected/logits.safetensors'))
    masksFile = await openSafetensors(join(smollm2, 'expected/masks.safetensors'))
  })

  afterAll(async () => {
    model.dispose()
    model.backend.dispose()
    await logitsFile.close()
    await masksFile.close()
  })

  /** Negative log-likelihoods of the second token and those after it. */
  const nllOf = (ids: Int32Array, mask?: ReturnType<typeof makeMask>): Float32Array => {
    const sequence = model.begin({ mask })
    try {
      return sequence.score(ids, Int32Array.of(...ids.slice(1), -100)).subarray(0, ids.length - 1)
    } finally {
      sequence.dispose()
    }
  }
  const mean = (values: Float32Array): number => values.reduce((sum, one) => sum + one, 0) / values.length

  test('the text that README.md shows of it, with 0.3 of its neurons skipped, is what it writes', async () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8')
    const shown =
      /-m (SmolLM2\S+) "([^"]+)" --sparsity ([\d.]+) --max-tokens (\d+)\n```\n+```text\n(.*?\n)```/s.exec(
        readme,
      )
    const [, , prompt = '', sparsity = '', count = '', text] = shown ?? []
    const flags = ['-m', smollm2File, '--sparsity', sparsity, '--max-tokens', count]
    expect((await runInside(['generate', prompt, ...flags])).stdout).toBe(text)
  })

  test('276 texts have the ids of llama.cpp, from the GGUF file and from tokenizer.json', async () => {
    const { openTokenizer } = await import('../../src/io/tokenizer.ts')
    const json = (await openTokenizer(join(smollm2, 'hf_tokenizer'))) as Tokenizer
    const texts = Object.values(read<Record<string, { text: string; ids: number[] }>>('tokenizer.json'))
    expect(texts).toHaveLength(276)
    for (const { text, ids } of texts)
      for (const one of [tokenizer, json]) expect(one.encode(text, { prefix: false }), text).toEqual(ids)
  })

  test.each(prompts)(
    '%s: logits of the last position, likelihoods of the prompt, greedy text',
    async (name, prompt) => {
      const ids = Int32Array.from(prompt.input_ids)
      const sequence = model.begin()
      const logits = sequence.feed(ids, 'last')
      sequence.dispose()
      expect(worstError(logits, await logitsFile.read(`logits.${name}`))).toBeLessThanOrEqual(
        tolerance.logits,
      )
      expect(worstError(nllOf(ids), prompt.nll)).toBeLessThanOrEqual(tolerance.nll)
      const text: number[] = []
      const { greedy_ids: expected, greedy_gap_to_second: gaps } = prompt
      for await (const { token } of generateTokens(model, ids, { maxTokens: expected.length, stopIds: [] }))
        text.push(token)
      // Equal up to the first place where the two likeliest tokens are nearer than float32 can tell.
      const near = gaps.findIndex((gap) => gap < tolerance.gap)
      const end = near === -1 ? expected.length : near
      expect(text.slice(0, end)).toEqual(expected.slice(0, end))
      expect(end).toBeGreaterThan(0)
    },
  )

  const data = process.env.SHADOWLLM_DATA ?? join(smollm2, '../data')
  test('the perplexity of two of 16 windows of WikiText-2', () => {
    const text = readFileSync(join(data, 'wikitext-2/wiki.valid.raw'), 'utf8')
    const { windows, ids_sha256 } = read<{ windows: { mean_nll: number }[]; ids_sha256: string }>(
      'wikitext.json',
    )
    // Enough text for 8,192 tokens; a text that is cut at a line has the same ids before the cut.
    const ids = Int32Array.from(
      tokenizer.encode(text.slice(0, text.indexOf('\n', 60_000)), { prefix: false }).slice(0, 8192),
    )
    expect(createHash('sha256').update(new Uint8Array(ids.buffer)).digest('hex')).toBe(ids_sha256)
    // Each run draws two: all of them take a minute on an idle core.
    const random = new Random(runSeed())
    const drawn = Array.from({ length: 2 }, () => random.below(windows.length))
    const means = drawn.map((i) => mean(nllOf(ids.subarray(512 * i, 512 * (i + 1)))))
    const theirs = drawn.map((i) => windows[i].mean_nll)
    expect(worstError(means, theirs)).toBeLessThanOrEqual(tolerance.nll)
    const perplexityOf = (all: readonly number[]): number =>
      Math.exp(all.reduce((sum, one) => sum + one, 0) / all.length)
    expect(Math.abs(perplexityOf(means) / perplexityOf(theirs) - 1)).toBeLessThanOrEqual(tolerance.perplexity)
  }, 1_200_000)

  test.each(['science', 'history', 'wiki'])('%s: plainact, and the loss under a mask', async (name) => {
    const tensor = (what: string): string =>
      [...masksFile.tensors.keys()].find((key) => key.startsWith(name) && key.endsWith(what)) as string
    const floats = (what: string): Promise<Float32Array> => masksFile.read(tensor(what))
    const ids = await readIntegers(masksFile, tensor('input_ids'))
    const trace = traceForward(model, ids)
    const gradients = backward(model, trace, ids)
    try {
      const scores = await plainact.score({
        model,
        trace,
        gradients,
        tokens: ids,
        labels: ids,
        seed: 0,
      } as never)
      expect(Math.abs(gradients.loss - (await floats('loss'))[0])).toBeLessThanOrEqual(tolerance.nll)
      for (const [ours, expected] of [
        [scores.heads, await floats('plainact_head')],
        [scores.neurons, await floats('plainact_ffn_act')],
      ]) {
        const largest = expected.reduce((most, one) => Math.max(most, one), 0)
        expect(worstError(ours, expected)).toBeLessThanOrEqual(tolerance.plainact * largest)
      }
    } finally {
      gradients.dispose()
      trace.dispose()
    }
    const kept = async (what: string): Promise<Float32Array> =>
      Float32Array.from(await readIntegers(masksFile, tensor(what)))
    const mask = makeMask(model.shape, await kept('head_mask'), await kept('ffn_mask'))
    const expected = await floats('masked_nll')
    const ours = nllOf(ids, mask)
    expect(Math.abs(mean(ours) - mean(expected))).toBeLessThanOrEqual(tolerance.nll)
    const sequence = model.begin({ mask, mode: 'pack' })
    const logits = sequence.feed(ids, 'last')
    sequence.dispose()
    expect(worstError(logits, await floats('masked_last_logits'))).toBeLessThanOrEqual(tolerance.logits)
  })

  test('where llama.cpp leaves the exact text, the exact token is the likelier one here', async () => {
    const { prompts: theirs } = read<{
      prompts: Record<string, { greedy_ids: number[]; first_difference: number; gap_there?: number }>
    }>('llamacpp.json')
    const places: [string, number][] = []
    for (const [name, { greedy_ids, first_difference: at, gap_there = NaN }] of Object.entries(theirs)) {
      if (at === -1) continue
      const { input_ids, greedy_ids: exact } = Object.fromEntries(prompts)[name]
      const sequence = model.begin()
      const logits = sequence.feed(Int32Array.of(...input_ids, ...exact.slice(0, at)), 'last')
      sequence.dispose()
      places.push([name, at])
      const [likeliest, second] = logits.toSorted((a, b) => b - a)
      expect(logits[exact[at]], name).toBe(likeliest)
      expect(logits[greedy_ids[at]], name).toBeLessThanOrEqual(second)
      expect(Math.abs(likeliest - second - gap_there), name).toBeLessThan(tolerance.gap)
    }
    expect(places).toEqual([
      ['story', 3],
      ['fact', 5],
      ['code', 17],
      ['science', 7],
      ['dialogue', 5],
      ['accents', 26],
    ])
  })
})
