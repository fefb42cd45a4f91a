/**
 * Laws of plainact (design law 7): it is a derivative.
 *
 * The signed form is dL/dm of each unit's mask m, at any mask; where a single token contributes, the unsigned form is its
 * size; it never is smaller than the signed one. What is judged is a way to score.
 */
import type { Criterion } from '../../criteria/index.ts'
import { withPass } from '../../criteria/pass.ts'
import { plainact, plainactSigned } from '../../criteria/plainact.ts'
import type { Data } from '../../testing/seeded_data.ts'
import { anyData } from '../drawn_data.ts'
import { denseMask, makeMask, unitKinds, type UnitKind, type UnitMask } from '../../masks/mask.ts'
import { atLeast, sameBits } from '../compare.ts'
import { lawForAll, type Drawn, type Law } from '../law.ts'
import { feedOnce, roomyModel, textOf, withModel, type Subject } from '../model/cases.ts'
import {
  awayFromKinks,
  checkGradient,
  lossOf,
  scoredText,
  withoutKinks,
} from '../model/finite_differences.ts'

/** What these laws judge: models of a subject, scored in some way. */
interface ScoredSubject extends Subject {
  readonly score: Criterion['score']
}

/** A law of a way to score. */
export type ScoreLaw = Law<ScoredSubject>

/** A model, a text and a mask. */
const someCase = { model: roomyModel.map(withoutKinks), data: anyData }

/** A mask of numbers around 1, and of zeros: the units that are skipped. */
function softMask({ shape, heads, neurons }: UnitMask, data: Data): UnitMask {
  const draw = (name: string, { length }: Float32Array): Float32Array =>
    data.numbers(name, length, (stream) => (stream.chance(0.2) ? 0 : 0.5 + stream.uniform()), 1)
  return makeMask(shape, draw('mask of heads', heads), draw('mask of neurons', neurons))
}

/** The derivative by the masks of all units, along whole directions: without a mask, or at one. */
function isTheSlope(subject: ScoredSubject, { model, data }: Drawn<typeof someCase>): Promise<void> {
  return withModel(
    subject,
    model,
    (loaded) => {
      const text = scoredText(model, data)
      const dense = denseMask(loaded.shape)
      const mask = data.flag('no mask', 0.3) ? undefined : softMask(dense, data)
      const scores = withPass(loaded, text, subject.score, { mask })
      const gradient = new Map(unitKinds.map((kind) => [kind, scores[kind]]))
      return checkGradient('slope', gradient, data, (direction, step) => {
        const moved = (kind: UnitKind): Float32Array => {
          const by = direction.get(kind) as Float64Array
          return (mask ?? dense)[kind].map((value, i) => value + step * by[i])
        }
        const stepped = makeMask(loaded.shape, moved('heads'), moved('neurons'))
        return lossOf(feedOnce(loaded, text.tokens, { mask: stepped, mode: 'simulate' }), text.labels)
      })
    },
    awayFromKinks(model),
  )
}

/** With one contributing token the score is the size of the slope; with more, at least that. */
function isItsSize(subject: ScoredSubject, { model, data }: Drawn<typeof someCase>): Promise<void> {
  return withModel(subject, model, (loaded) => {
    const long = textOf(model, data)
    // Of two tokens the second is scored by the first; nothing the second computes matters.
    const short = { tokens: long.tokens.slice(0, 2), labels: Int32Array.of(-100, long.tokens[1]) }
    const exact = withPass(loaded, short, plainactSigned.score)
    const sizes = withPass(loaded, short, subject.score)
    for (const kind of unitKinds) sameBits(kind, sizes[kind], exact[kind].map(Math.abs))
    const signed = withPass(loaded, long, plainactSigned.score)
    const unsigned = withPass(loaded, long, subject.score)
    for (const kind of unitKinds) {
      // In float64: sums of sizes and of signed numbers round differently.
      const most = Float64Array.from(unsigned[kind], (size) => size * (1 + 1e-5))
      atLeast(kind, most, signed[kind].map(Math.abs))
    }
  })
}

/** The laws, each with the criterion that keeps it. */
export const plainactLaws: Record<
  'slope' | 'size',
  { readonly law: ScoreLaw; readonly criterion: Criterion }
> = {
  slope: {
    law: lawForAll(
      'plainact-signed = the derivative of the loss with respect to each mask, at any mask, also for skipped units',
      { ...someCase },
      isTheSlope,
      { runs: 40 },
    ),
    criterion: plainactSigned,
  },
  size: {
    law: lawForAll(
      'plainact = the absolute derivative where one token contributes, and at least that otherwise',
      { ...someCase },
      isItsSize,
      { runs: 40 },
    ),
    criterion: plainact,
  },
}
