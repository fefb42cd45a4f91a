/**
 * The case that breaks a law in a sentence, and what the names in its report mean.
 */
import type { Case } from '../../verify/law.ts'
import { counted } from '../view/dom.ts'

/** What each argument of the laws between engine and specification is; `drawn` and `training` are told by their parts. */
export const meanings: Readonly<Record<string, string>> = {
  numbers: 'fill all weights, over and over',
  tokens: 'ids of the text, each taken modulo the vocabulary',
  embeddingWidth: 'width of the token table; 0 for the width of the model',
  llama: 'what a model of the Llama family has besides; null for OPT',
  skip: 'places of the units that a mask skips, in thousandths of the way from the first to the last; null for no mask',
  storage: 'number format of the weights',
  cache: 'number format of stored keys and values',
  mode: 'how the engine carries out a mask',
  parts: 'where the text is cut into feeds',
  wanted: 'the logits that each feed is asked for',
  room: 'tokens the cache has room for, and tokens the engine expects',
  bytesPerBackend: 'memory that the engine may use',
  factor: 'what kept units are multiplied by where a mask is simulated',
  schedule: 'the masks that a planner decides, one after the other',
  how: 'when a planner is asked, and what it is shown',
  scored: 'which tokens have a loss',
  networks: 'the predictor: hidden numbers and weights of its two networks',
  budget: 'share of units to skip, and which units compete',
  count: 'tokens to write',
  scores: 'scores of units: one row for each layer',
  rows: 'features of each text',
  targets: 'what is to be learnt from each text',
  hidden: 'hidden numbers of a network',
  batch: 'texts of a training step',
  rate: 'highest learning rate',
  decay: 'weight decay',
  heldOut: 'share of the texts that training does not see',
  patience: 'epochs without improvement before training ends',
  texts: 'length and prompt of each text, counted within the text of the case',
  features: 'scaling of the features',
  settings: 'of the training',
  neuronHidden: 'hidden numbers of the network for neurons',
}

/** The sizes of a case in a sentence; empty where it has none. */
export function sizesInWords(args: Case): string {
  const { drawn, scores, training, budget } = args as Readonly<
    Record<string, Record<string, unknown> | undefined>
  >
  const sentences: string[] = []
  if (drawn) {
    const size = (name: string): number => drawn[name] as number
    const family = (drawn.llama as { readonly family?: string } | null)?.family ?? 'opt'
    const units = `${counted(size('layers'), 'layer')} of ${counted(size('heads'), 'head')} and ${counted(size('neurons'), 'neuron')}`
    const text = counted((drawn.tokens as readonly number[]).length, 'token')
    sentences.push(
      `A model of the family ${family} with ${units}, head size ${size('headSize')}, vocabulary ${size('vocabulary')}; a text of ${text}.`,
    )
  }
  if (scores) {
    const [heads, neurons] = [scores.heads, scores.neurons] as (readonly (readonly number[])[])[]
    sentences.push(
      `Scores of ${counted(heads.length, 'layer')} of ${counted(heads[0].length, 'head')} and ${counted(neurons[0].length, 'neuron')}.`,
    )
  }
  if (training) {
    const [rows, targets] = [training.rows, training.targets] as (readonly (readonly number[])[])[]
    sentences.push(
      `${counted(rows.length, 'text')} of ${counted(rows[0].length, 'feature')}, a network of ${counted(training.hidden as number, 'hidden number')} and ${counted(targets[0].length, 'output')}, ${counted(training.epochs as number, 'epoch')}.`,
    )
  }
  if (budget)
    sentences.push(
      `Sparsity ${Number((budget.sparsity as number).toPrecision(3))}, ${budget.scope as string} scope, ${budget.policy as string} policy.`,
    )
  return sentences.join(' ')
}

/** The first number that differs, of a report of `tryLaw`; empty where it differs in another way. */
export function differenceInWords(report: string): string {
  const [, values, place, expected, got] =
    /^(.+)\[(\d+)\]: with the bug (\S+), without it (\S+)$/m.exec(report) ?? []
  if (values === undefined) return ''
  const [wrong, right] = [Number(expected), Number(got)]
  const how = values.startsWith('mask')
    ? `: the bug ${wrong === 0 ? 'skips' : 'keeps'} this unit`
    : values.startsWith('text')
      ? ': another token'
      : ratioInWords(wrong, right)
  const [, what, kind, layer] = /^(.+) of (head|neuron)s of layer (\d+)$/.exec(values) ?? []
  const which =
    what === undefined
      ? `number ${place} of ${values}`
      : `that of layer ${layer}, ${kind} ${place}, of the ${what}`
  const [bug, engine] = apart(wrong, right)
  return `The first number that differs is ${which}: ${bug} by src/spec with the bug, ${engine} by the engine${how}.`
}

/** Two numbers with three digits, or as many as tell them apart; small ones with an exponent. */
function apart(a: number, b: number): string[] {
  const written = (digits: number): string[] => [a, b].map((value) => value.toExponential(digits - 1))
  let digits = 3
  while (digits < 17 && new Set(written(digits)).size === 1) digits++
  return written(digits).map((text) => {
    const value = Number(text)
    return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value)
  })
}

/** How far a wrong number is from the right one. */
function ratioInWords(wrong: number, right: number): string {
  if (!Number.isFinite(wrong) || !Number.isFinite(right)) return ''
  if (wrong * right < 0) return ': the sign is wrong'
  if (wrong === 0) return ': with the bug it is gone'
  if (right === 0) return ': it should be zero'
  const ratio = wrong / right
  return Math.abs(ratio - 1) < 1e-3 ? '' : `: ${Number(ratio.toPrecision(3))} times what it should be`
}

/** Whether what a law says of a case cannot be taken for rounding: numbers above a millionth that differ by more than a tenth, or no
 * numbers. */
export function isTelling(error: unknown): boolean {
  const [, ...sides] = /expected (-?[\d.e+-]+), got (-?[\d.e+-]+)$/.exec((error as Error).message) ?? []
  const [expected, got] = sides.map(Number)
  const size = Math.max(Math.abs(expected), Math.abs(got))
  return sides.length === 0 || (size > 1e-6 && Math.abs(expected - got) > 0.1 * size)
}

/** The names of a case that have a meaning, in their order, each once. */
export function namesOf(args: Case): readonly (readonly [name: string, meaning: string])[] {
  const names = Object.entries(args).flatMap(([name, value]) =>
    name === 'drawn' || name === 'training' ? Object.keys(value as Case) : [name],
  )
  return [...new Set(names)].flatMap((name) =>
    Object.hasOwn(meanings, name) ? [[name, meanings[name]] as const] : [],
  )
}
