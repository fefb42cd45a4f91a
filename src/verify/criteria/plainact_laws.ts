/**
 * Laws of plainact (design law 7): it is a derivative.
 *
 * The signed form is dL/dm of each unit's mask m at m = 1 (or where the mask of the pass has it), found here by changing
 * one mask at a time; where a single token contributes, the unsigned form is its size; it never is smaller than the signed
 * one. What is judged is a way to score.
 */
import type { Criterion } from '../../criteria/index.ts'
import { withPass, type Text } from '../../criteria/pass.ts'
import { plainact, plainactSigned } from '../../criteria/plainact.ts'
import { Data } from '../../testing/seeded_data.ts'
import { denseMask, type UnitMask } from '../../masks/mask.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import { atLeast, near, sameBits } from '../compare.ts'
import { lawForAll, type Law } from '../law.ts'
import { anyModel, roomyModel, withModel, type ModelCase, type Subject } from '../model/cases.ts'
import { headMaskGradient, neuronMaskGradient } from '../model/mask_gradients.ts'
import { alone, kinds, lossUnder, movedMask, someMask, textOf, type Unit } from './passes.ts'

/** What these laws judge: models of a subject, scored in some way. */
export interface ScoredSubject extends Subject {
  readonly score: Criterion['score']
}

/** A law of a way to score. */
export type ScoreLaw = Law<ScoredSubject>

/** Of a difference of float32 losses, and of two kinks whose turns cancel. */
const SLOPE_ERROR = 2e-2

/** How many units of a model are looked at. */
const PROBES = 6

/**
 * Central difference of the loss in a unit's mask, others held at `mask`, or null where a kink of ReLU is near. With step
 * s the slopes ahead and behind differ by (curvature) s + (what a kink right there turns); a kink elsewhere makes the two
 * steps disagree.
 */
function slopeAt(model: OptModel, text: Text, unit: Unit, mask: UnitMask): number | null {
  const direction = alone(model, unit)
  const loss = (by: number): number => lossUnder(model, text, movedMask(direction, by, mask))
  const middle = loss(0)
  const slopes = (step: number): { central: number; turn: number } => {
    const [behind, ahead] = [(middle - loss(-step)) / step, (loss(step) - middle) / step]
    return { central: (ahead + behind) / 2, turn: ahead - behind }
  }
  const [wide, narrow] = [slopes(2 ** -5), slopes(2 ** -6)]
  const bound = 2e-3 * Math.max(1, Math.abs(narrow.central))
  const smooth =
    Math.abs(wide.central - narrow.central) < bound && Math.abs(2 * narrow.turn - wide.turn) < bound
  return smooth ? narrow.central : null
}

/** dL/dm, unit by unit: at a mask of ones, or at one that skips units, those that are skipped included. */
function isTheSlope(subject: ScoredSubject, model: ModelCase, isPruned: boolean): Promise<void> {
  return withModel(subject, model, (loaded) => {
    const data = new Data(model.seed)
    const text = textOf(model, data)
    const mask = isPruned ? someMask(loaded, data) : denseMask(loaded.shape)
    const scores = withPass(loaded, text, subject.score, isPruned ? { mask } : {})
    for (let n = 0; n < PROBES; n++) {
      const kind = data.pick(kinds)
      const unit = { kind, index: data.integer(0, scores[kind].length - 1) }
      const slope = slopeAt(loaded, text, unit, mask)
      if (slope === null) continue
      const bound = SLOPE_ERROR * Math.max(1, Math.abs(slope))
      near(`${kind} ${unit.index}`, [scores[kind][unit.index]], [slope], bound)
    }
  })
}

/** With one contributing token the score is the size of the slope; with more, at least that. */
function isItsSize(subject: ScoredSubject, model: ModelCase): Promise<void> {
  return withModel(subject, model, (loaded) => {
    const long = textOf(model, new Data(model.seed))
    // Of two tokens the second is scored by the first; nothing the second computes matters.
    const short = { tokens: long.tokens.slice(0, 2), labels: Int32Array.of(-100, long.tokens[1]) }
    const exact = withPass(loaded, short, plainactSigned.score)
    const sizes = withPass(loaded, short, subject.score)
    for (const kind of kinds) sameBits(kind, sizes[kind], exact[kind].map(Math.abs))
    const signed = withPass(loaded, long, plainactSigned.score)
    const unsigned = withPass(loaded, long, subject.score)
    for (const kind of kinds)
      atLeast(
        kind,
        // In float64: sums of sizes and of signed numbers round differently.
        Float64Array.from(unsigned[kind], (size) => size * (1 + 1e-5)),
        signed[kind].map(Math.abs),
      )
  })
}

/** Signed scores have the bits of the gradients of the masks. */
function isMaskGradient(subject: ScoredSubject, model: ModelCase): Promise<void> {
  return withModel(subject, model, (loaded) => {
    withPass(loaded, textOf(model, new Data(model.seed)), (input) => {
      const scores = subject.score(input)
      const layers = Array.from({ length: model.layers }, (_, layer) => layer)
      const whole = (of: (layer: number) => Float32Array): number[] =>
        layers.flatMap((layer) => [...of(layer)])
      sameBits(
        'heads',
        scores.heads,
        whole((layer) => headMaskGradient(input, layer)),
      )
      sameBits(
        'neurons',
        scores.neurons,
        whole((layer) => neuronMaskGradient(input, layer)),
      )
    })
  })
}

/** Laws of plainact-signed. */
export const signedLaws = {
  slope: lawForAll(
    'plainact-signed = the derivative of the loss with respect to each mask',
    [roomyModel],
    (subject: ScoredSubject, model) => isTheSlope(subject, model, false),
    { runs: 40 },
  ),

  slopeAtMask: lawForAll(
    'plainact-signed in a pruned model = the derivative at its mask, also for skipped units',
    [roomyModel],
    (subject: ScoredSubject, model) => isTheSlope(subject, model, true),
    { runs: 40 },
  ),

  maskGradient: lawForAll(
    'plainact-signed = the gradients of the masks, bit for bit',
    [anyModel],
    isMaskGradient,
  ),
} satisfies Record<string, ScoreLaw>

/** Laws of plainact. */
export const sizeLaws = {
  size: lawForAll(
    'plainact = the absolute derivative where one token contributes, and at least that otherwise',
    [roomyModel],
    isItsSize,
    { runs: 40 },
  ),
} satisfies Record<string, ScoreLaw>

/** What the laws are stated of: each with the criterion that keeps it. */
export const plainactLaws: readonly { readonly law: ScoreLaw; readonly criterion: Criterion }[] = [
  ...Object.values(signedLaws).map((law) => ({ law, criterion: plainactSigned })),
  ...Object.values(sizeLaws).map((law) => ({ law, criterion: plainact })),
]
