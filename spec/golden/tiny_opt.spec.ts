/**
 * The embedded model says what PyTorch said (fixtures/tiny-opt/expected.json): mean negative log-likelihood, the five
 * best next tokens, and thirty-two greedy tokens, each step of which is one cached step here.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { openSafetensors } from '../../src/io/safetensors.ts'
import { parseConfig } from '../../src/engine/config.ts'
import { generateTokens } from '../../src/engine/generate.ts'
import { meanLoss, shiftLabels } from '../../src/engine/loss.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { isQuick, isRest } from '../harness/tier.ts'
import { expectNear, fixtures, tolerance } from './golden.ts'

interface ExpectedText {
  readonly text: string
  readonly input_ids: number[]
  readonly mean_nll: number
  readonly top5_ids: number[]
  readonly top5_logits: number[]
  readonly greedy_ids: number[]
}

const folder = `${fixtures}tiny-opt/`
const expected = JSON.parse(readFileSync(`${folder}expected.json`, 'utf8')) as ExpectedText[]

/** Half of the last printed digit of the expected logits. */
const PRINTED = 0.5e-4

async function load(backend: Backend): Promise<LanguageModel> {
  const config = parseConfig(JSON.parse(readFileSync(`${folder}config.json`, 'utf8')))
  const source = await openSafetensors(`${folder}model.safetensors`)
  const model = await LanguageModel.load(config, source, backend)
  await source.close()
  return model
}

test('there are texts', () => expect(expected.length).toBeGreaterThan(1))

function statesWhatPyTorchSaid(backend: Backend, texts: readonly ExpectedText[]): void {
  test.each(texts)('loss, best tokens and greedy continuation of "$text"', async (given) => {
    const { text, input_ids, mean_nll, top5_ids, top5_logits, greedy_ids } = given
    const model = await load(backend)
    const prompt = Int32Array.from(input_ids)
    const sequence = model.begin()
    const loss = meanLoss(sequence.score(prompt, shiftLabels(prompt)), prompt.length - 1)
    sequence.dispose()
    expect(Math.abs(loss - mean_nll) / mean_nll, text).toBeLessThanOrEqual(tolerance.loss)
    const options = { maxTokens: greedy_ids.length, stopIds: [] }
    const continued: number[] = []
    for await (const { token, index, logits } of generateTokens(model, prompt, options)) {
      if (index === 0) {
        const best = [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, 5)
        expect(best, text).toEqual(top5_ids)
        const mine = best.map((id) => logits[id])
        expectNear(mine, top5_logits, tolerance.logits + PRINTED, text)
      }
      continued.push(token)
    }
    expect(continued, text).toEqual(greedy_ids)
    model.dispose()
  })
}

// The reference takes seconds for a text of this model, so the quick tier has one text.
overQuickBackends((backend) =>
  statesWhatPyTorchSaid(backend, isQuick && backend.name === 'reference' ? expected.slice(0, 1) : expected),
)
if (isRest) {
  const reference = await createBackend('reference')
  describe('reference, the other texts', () => statesWhatPyTorchSaid(reference, expected.slice(1)))
}
