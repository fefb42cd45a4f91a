/**
 * The input files of the tables of flags: two small random models with a token for each byte, predictors, a mask, texts and
 * rows. A command takes milliseconds on them, so it can run hundreds of times.
 */
import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBackend } from '../../../src/backends/select.ts'
import { randomPredictor } from '../../../src/bench/predictors.ts'
import { writeSafetensors } from '../../../src/io/safetensors_writer.ts'
import { byteCharacters, specialTokens } from '../../../src/io/vocabulary.ts'
import { makeConfig, type ModelConfig } from '../../../src/engine/config.ts'
import { initialWeights } from '../../../src/engine/initial_weights.ts'
import { predictorKinds } from '../../../src/predictor/predictor_config.ts'
import { savePredictor } from '../../../src/predictor/predictor_file.ts'
import { Random } from '../../../src/tensor/random.ts'

const goldenGguf = new URL('../../../fixtures/golden-llama/gguf/models/llama_gqa.F32.gguf', import.meta.url)

const tokens = [...specialTokens, ...byteCharacters]

/** Sizes of the models. */
export const smallConfig: ModelConfig = makeConfig({
  layers: 4,
  width: 16,
  heads: 4,
  neurons: 32,
  vocabulary: tokens.length,
  positions: 160,
})

/** The commits of `tiny/model` in the hub's cache, by branch. */
export const commits = { main: 'a'.repeat(40), other: 'b'.repeat(40) } as const

/** Writes the configuration and the tokenizer of a model. */
function writeDescription(
  folder: string,
  layers = smallConfig.layers,
  vocabulary = tokens,
  positions = smallConfig.positions,
): void {
  mkdirSync(folder, { recursive: true })
  const { width, heads, neurons } = smallConfig
  const config = {
    model_type: 'opt',
    vocab_size: vocabulary.length,
    hidden_size: width,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    ffn_dim: neurons,
    max_position_embeddings: positions,
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
  writeFileSync(join(folder, 'merges.txt'), '#version: 0.2\n')
  writeFileSync(
    join(folder, 'chat_template.jinja'),
    "{% for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor %}{% if terse %}in a word, {% endif %}assistant: ",
  )
  writeFileSync(
    join(folder, 'vocab.json'),
    JSON.stringify(Object.fromEntries(vocabulary.map((token, id) => [token, id]))),
  )
}

/** How a model differs from the usual one. */
interface ModelChanges {
  /** Whether its weights, each finite, make logits that are not. */
  readonly overflows?: boolean
  readonly positions?: number
  readonly layers?: number
}

/** Writes a model. @param folder it is made */
export async function writeModel(
  folder: string,
  seed: number,
  { overflows = false, positions = smallConfig.positions, layers = smallConfig.layers }: ModelChanges = {},
): Promise<void> {
  writeDescription(folder, layers, tokens, positions)
  const config = { ...smallConfig, positions, layers }
  const weights = initialWeights(config, { seed, deviation: 0.3, biasDeviation: 0.1 })
  if (overflows)
    for (const [name, { values }] of weights) if (name.includes('decoder.final_layer_norm')) values.fill(3e38)
  const tensors = [...weights].map(
    ([name, { shape, values }]) => [name, { dtype: 'F32', shape, data: values as Float32Array }] as const,
  )
  await writeSafetensors(join(folder, 'model.safetensors'), new Map(tensors))
}

async function writePredictors(folder: string, seed: number): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const backend = await createBackend('reference')
  for (const kind of predictorKinds) {
    const predictor = randomPredictor(kind, smallConfig, backend, 'f32', seed)
    await savePredictor(join(folder, `${kind}.safetensors`), predictor)
    predictor.dispose()
  }
  backend.dispose()
}

async function writeMask(path: string): Promise<void> {
  const { layers, heads, neurons } = smallConfig
  const random = new Random(4)
  const draw = (units: number): Float32Array =>
    Float32Array.from({ length: layers * units }, (_, i) => (i < units || random.uniform() < 0.5 ? 1 : 0))
  await writeSafetensors(
    path,
    new Map([
      ['head_mask', { dtype: 'F32', shape: [layers, heads], data: draw(heads) }],
      ['ffn_mask', { dtype: 'F32', shape: [layers, neurons], data: draw(neurons) }],
    ]),
  )
}

/** Random words of two to six letters. */
function someText(seed: number, words: number): string {
  const random = new Random(seed)
  const letters = (length: number): string =>
    Array.from({ length }, () => String.fromCharCode(97 + random.below(26))).join('')
  return Array.from({ length: words }, () => letters(2 + random.below(5))).join(' ')
}

function writeTexts(folder: string): void {
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text)
  write('a.txt', someText(1, 40))
  write('b.txt', someText(2, 40))
  write('long.txt', `${someText(3, 200)}\n\n${someText(4, 200)}\n`)
  write('longer.txt', `${someText(8, 300)}\n\n${someText(9, 200)}\n`)
  write('other-wiki.raw', ` \n = Other = \n \n ${someText(7, 12)} . \n`)
  write('wiki.raw', ` \n = One = \n \n ${someText(5, 12)} . \n = Two = \n \n ${someText(6, 8)} . \n`)
  const rows = (seed: number, count: number): string =>
    Array.from({ length: count }, (_, i) => {
      const [goal, sol1, sol2] = [0, 1, 2].map((part) => someText(100 * seed + 10 * i + part, 3 + part))
      return `${JSON.stringify({ goal, sol1, sol2, label: i % 2 })}\n`
    }).join('')
  for (const name of ['rows', 'other rows']) mkdirSync(join(folder, name.replace(' ', '-')))
  write('rows/piqa.jsonl', rows(1, 4))
  write('other-rows/piqa.jsonl', rows(2, 4))
  const copa = { premise: 'ab cd ef.', choice1: 'Gh ij.', choice2: 'Kl mn op.', question: 'effect', label: 0 }
  write('rows/copa.jsonl', `${JSON.stringify(copa)}\n`)
}

/** Writes all files into a new folder, which the caller removes. */
export async function writeSmallFiles(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-options-'))
  await writeModel(join(folder, 'model'), 3)
  await writeModel(join(folder, 'other'), 4)
  cpSync(goldenGguf, join(folder, 'model.gguf'))
  writeDescription(join(folder, 'small-config'), 2)
  writeDescription(join(folder, 'swapped-tokenizer'), 2, [...specialTokens, ...byteCharacters.toReversed()])
  await writePredictors(join(folder, 'predictors'), 5)
  await writePredictors(join(folder, 'other-predictors'), 6)
  for (const model of ['model', 'other'])
    cpSync(join(folder, 'predictors/shadow.safetensors'), join(folder, model, 'predictor.safetensors'))
  await writeMask(join(folder, 'mask.safetensors'))
  writeTexts(folder)
  writeHubCache(folder)
  mkdirSync(join(folder, 'filled'))
  writeFileSync(join(folder, 'filled/model.safetensors'), 'of somebody else')
  return folder
}

/** Writes both models as two revisions of one model into a cache of the hub. */
function writeHubCache(folder: string): void {
  const own = join(folder, 'hub/models--tiny--model')
  mkdirSync(join(own, 'refs'), { recursive: true })
  cpSync(join(folder, 'model'), join(own, 'snapshots', commits.main), { recursive: true })
  cpSync(join(folder, 'other'), join(own, 'snapshots', commits.other), { recursive: true })
  for (const [branch, commit] of Object.entries(commits)) writeFileSync(join(own, 'refs', branch), commit)
}
