/**
 * The method on the embedded model, step by step: what the page shows beside each definition.
 *
 * Scores and masks are computed by `src/spec`. What takes it seconds, whole texts and their gradients, is computed by `src/spec` or by
 * the engine, whose strict kernels have the same bits (`texts.ts`). Steps that do not depend on a setting are kept while it changes.
 * It runs in a worker of the page and in Node alike, with equal bits.
 */
import { createBackend } from '../../backends/select.ts'
import { parseConfig } from '../../engine/config.ts'
import { openModelFolder } from '../../io/load.ts'
import { predictorBeside } from '../../io/named_predictor.ts'
import type { Tokenizer } from '../../io/tokenizer.ts'
import { pause } from '../../platform/pause.ts'
import { mountFolder } from '../../platform/platform.ts'
import { softmax } from '../../ops/softmax.ts'
import type { ShadowConfig } from '../../predictor/predictor_config.ts'
import { openPredictor } from '../../predictor/predictor_file.ts'
import type { Model } from '../../spec/model.ts'
import type { Units } from '../../spec/plain.ts'
import type { UnitKind } from '../../spec/program.ts'
import { features, predict, type Network, type Predictor } from '../../spec/predictor.ts'
import { selectMask } from '../../spec/select.ts'
import { InputError, UsageError } from '../../tensor/errors.ts'
import type { HostTensor } from '../../tensor/memory_source.ts'
import { unitKinds } from '../../masks/mask.ts'
import { recordOf } from '../../tensor/records.ts'
import { plainModel, plainNetwork } from '../../verify/model/plain_model.ts'
import { embeddedModelFiles, type OnBytes } from '../embedded/embedded_model.ts'
import { budgetOf, randomScores } from './quick_steps.ts'
import type { Settings } from './settings.ts'
import { engineTexts, specTexts, type Texts } from './texts.ts'

/** The embedded model, as the specification has it. */
export interface SpecModel {
  readonly model: Model
  readonly predictor: Predictor
  readonly tokenizer: Tokenizer
  readonly texts: Texts
  /** What was computed of the last prompt. */
  readonly known: Map<string, PromptSteps>
}

/** What depends on the prompt alone. */
type PromptSteps = {
  -readonly [Step in 'tokens' | 'context' | 'features' | 'predicted' | 'dense' | 'plainact']?: Steps[Step]
}

/** The most tokens of a prompt. */
export const MOST_TOKENS = 64

/** How many tokens follow the prompt. */
const FOLLOWING = 6

/** A next token, and how likely it is. */
interface NextToken {
  readonly id: number
  readonly text: string
  readonly dense: number
  readonly masked: number
}

/** A text of W tokens after the prompt. */
interface Written {
  /** Before its first token: [V]. */
  readonly logits: Float32Array
  readonly ids: Int32Array // [W]
  readonly pieces: readonly string[]
  /** Before each token of the dense text: [W, V]. */
  readonly along: Float32Array
}

/** What the method computes for a prompt [P], in its order. */
export interface Steps {
  readonly tokens: { readonly ids: Int32Array; readonly pieces: readonly string[] }
  /** Layer 0 up to the context of its heads: [P, H K]. */
  readonly context: { readonly values: Float32Array; readonly heads: number }
  readonly features: Float32Array // [H K]
  readonly predicted: Units
  /** The dense text after the prompt, and plainact of every unit for it. */
  readonly dense: Written
  readonly plainact: Units
  /** The scores that were chosen, and the mask of the best of them. */
  readonly scores: Units
  readonly mask: Units
  readonly masked: Written
  readonly next: readonly NextToken[]
}

/** Some of the steps, as they are computed. */
export type SomeSteps = Partial<Steps>

/**
 * Opens the embedded model with rounded weights.
 * @param by what computes whole texts
 * @throws InputError as the readers of its files
 */
export async function openSpecModel(by: 'spec' | 'engine' = 'spec', onBytes?: OnBytes): Promise<SpecModel> {
  const folder = mountFolder('embedded-rounded', await embeddedModelFiles('rounded', onBytes))
  const { configJson, source, tokenizer, files } = await openModelFolder(folder)
  if (tokenizer === undefined)
    throw new InputError('TOKENIZER_MISSING', 'the embedded model: expected a tokenizer')
  const config = parseConfig(configJson)
  const tensors = new Map<string, HostTensor>()
  for (const [name, { shape }] of source.tensors)
    tensors.set(name, { shape, values: await source.read(name) })
  const model = plainModel(config, tensors, 'f32', 'f32')
  const texts = by === 'spec' ? specTexts(model) : await engineTexts(config, source)
  await source.close()
  const predictor = await readPredictor(predictorBeside(files.weights))
  return { model, predictor, tokenizer, texts, known: new Map() }
}

/** A predictor's file, as the specification has it. */
async function readPredictor(path: string): Promise<Predictor> {
  const backend = await createBackend('reference')
  const read = await openPredictor(path, backend)
  const { kind, features: scaling, pooling, sourceLayer } = read.config as ShadowConfig
  const isScaled = scaling === 'standard' || scaling === 'min_max'
  if (read.kind !== 'shadow' || pooling !== 'last' || sourceLayer !== 0 || !isScaled)
    throw new InputError(
      'PREDICTOR_CARD',
      `predictor: expected one of the specification, got ${kind}, ${scaling}, ${pooling}, layer ${sourceLayer}`,
    )
  const network = (units: UnitKind): Network =>
    plainNetwork(read.networks[units].shape, read.networks[units].read())
  return { features: scaling, ...recordOf(unitKinds, network) }
}

/**
 * The ids of a prompt, its start token first, and what each spells.
 * @throws UsageError CONTEXT_LENGTH for more than 64; InputError as the tokenizer
 */
function tokensOf({ tokenizer }: SpecModel, prompt: string): Steps['tokens'] {
  const ids = Int32Array.from(tokenizer.encode(prompt, { prefix: true }))
  if (ids.length > MOST_TOKENS)
    throw new UsageError(
      'CONTEXT_LENGTH',
      `prompt: expected at most ${MOST_TOKENS} tokens, its start token included, got ${ids.length}`,
    )
  return { ids, pieces: spelled(tokenizer, ids) }
}

function spelled(tokenizer: Tokenizer, ids: Int32Array): string[] {
  return Array.from(ids, (id) => tokenizer.decode([id]))
}

/**
 * Computes all steps; each is yielded when it is done. Other events run between them.
 * @throws UsageError CONTEXT_LENGTH
 */
export async function* computeSteps(
  held: SpecModel,
  settings: Settings,
): AsyncGenerator<SomeSteps, void, void> {
  const { model, predictor, tokenizer, texts } = held
  const known = held.known.get(settings.prompt) ?? {}
  held.known.clear()
  held.known.set(settings.prompt, known)
  const tokens = (known.tokens ??= tokensOf(held, settings.prompt))
  yield { tokens }
  const prompt = tokens.ids
  if (known.predicted === undefined) {
    const look = model.contextOf(prompt)
    known.context = { values: look.data, heads: model.heads }
    known.features = features(look, predictor.features).data
    known.predicted = predict(predictor, look, model.heads, model.neurons)
  }
  const { context, features: read, predicted } = known
  yield { context, features: read, predicted }
  const budget = budgetOf(settings)
  let scores = await quickScores(held, settings, predicted)
  if (scores !== null) yield { scores, mask: selectMask(scores, budget) }
  await pause()
  if (known.dense === undefined) {
    const written = texts.write(prompt, null, FOLLOWING)
    const along = texts.follow(prompt, written.ids, null)
    known.dense = { ...written, pieces: spelled(tokenizer, written.ids), along }
    yield { dense: known.dense }
    await pause()
    known.plainact = texts.score(Int32Array.of(...prompt, ...written.ids), prompt.length)
  }
  const { dense, plainact } = known
  yield { dense, plainact }
  scores ??= plainact as Units
  const mask = selectMask(scores, budget)
  yield { scores, mask }
  await pause()
  const written = texts.write(prompt, mask, FOLLOWING)
  await pause()
  const along = texts.follow(prompt, dense.ids, mask)
  const masked = { ...written, pieces: spelled(tokenizer, written.ids), along }
  yield { masked, next: likeliest(tokenizer, dense.logits, masked.logits) }
}

/** The scores that need no text after the prompt; null for the oracle's. */
async function quickScores(held: SpecModel, { source }: Settings, predicted: Units): Promise<Units | null> {
  if (source === 'predicted') return predicted
  if (source === 'random') return randomScores(predicted)
  return source === 'static' ? staticScores(held) : null
}

/** The texts behind static scores: plain sentences of several kinds. */
const texts: readonly string[] = [
  'The old man walked down to the harbour every morning and watched the boats come in with their fish.',
  'She opened the letter with care, read it twice, and put it back into the drawer without a word.',
  'Tom had a red ball. He threw the ball to his dog, and the dog ran after it as fast as it could.',
  'The river rises in the hills to the north and flows through three towns before it reaches the sea.',
  'I shall recommend to the Congress a measure for the relief of the people in the western states.',
  'It was a cold night, and nobody in the house could sleep while the wind was at the windows.',
  'The captain ordered the men to the boats, for the whale had been seen again to the south of the ship.',
  'The film was first shown in the spring of that year and was received well by most of its critics.',
]

const means = new WeakMap<SpecModel, Units>()

/** The mean plainact over some texts, the first half of each a prompt: computed once. */
async function staticScores(held: SpecModel): Promise<Units> {
  const known = means.get(held)
  if (known !== undefined) return known
  const all: Units[] = []
  for (const text of texts) {
    const { ids } = tokensOf(held, text)
    all.push(held.texts.score(ids, Math.ceil(ids.length / 2)))
    await pause()
  }
  const mean = (kind: UnitKind): Float32Array[] =>
    all[0][kind].map((row, l) =>
      row.map((_, u) => all.reduce((sum, scores) => sum + scores[kind][l][u], 0) / all.length),
    )
  const found = recordOf(unitKinds, mean)
  means.set(held, found)
  return found
}

/** How many next tokens are listed. */
const LISTED = 8

/** The tokens that are among the likeliest with the mask or without, best first. */
function likeliest(tokenizer: Tokenizer, dense: Float32Array, masked: Float32Array): NextToken[] {
  const [whole, sparse] = [dense, masked].map(sharesOf)
  return Array.from(whole.keys())
    .toSorted((a, b) => Math.max(whole[b], sparse[b]) - Math.max(whole[a], sparse[a]) || a - b)
    .slice(0, LISTED)
    .map((id) => ({ id, text: tokenizer.decode([id]), dense: whole[id], masked: sparse[id] }))
}

/** The softmax of logits [V]. It is that of the project, because engines of JavaScript differ in the last bit of `Math.exp`. */
function sharesOf(logits: Float32Array): Float32Array {
  const shares = new Float32Array(logits.length)
  softmax(shares, logits, 1, logits.length)
  return shares
}
