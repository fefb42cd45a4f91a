/**
 * Beside which definition which law of `verify` stands, and the bug that the law finds when it is planted there.
 *
 * All laws are those between engine and specification (`src/verify/model/engine_laws.ts`). A bug is one changed line of the
 * definition; the build makes a second copy of the specification with it (`scripts/spec_page/plants.ts`).
 */

/** A law beside a definition, and a bug in it. */
export interface Proof {
  /** The address of the definition. */
  readonly address: string
  /** The law's name in `engineLaws`. */
  readonly law: string
  /** How many cases the law is tried on. */
  readonly cases: number
  /** The bug in words. */
  readonly bug: string
  /** The line of the file, without indentation, and the line in its place. */
  readonly line: string
  readonly planted: string
}

export const proofs: readonly Proof[] = [
  {
    address: 'opt.opt',
    law: 'engineLogits',
    cases: 60,
    bug: 'the two rows for padding are forgotten',
    line: 'const position = embedding(positions(2), `${at}.embed_positions`, config.positions + 2, D)',
    planted: 'const position = embedding(positions(0), `${at}.embed_positions`, config.positions + 2, D)',
  },
  {
    address: 'opt.layer',
    law: 'engineSchedule',
    cases: 60,
    bug: 'every layer has the heads of layer 0',
    line: "x = add(x, combine(units('heads', l, context, H), `${at}.self_attn.out_proj`, D, true))",
    planted: "x = add(x, combine(units('heads', 0, context, H), `${at}.self_attn.out_proj`, D, true))",
  },
  {
    address: 'gradients.propagate',
    law: 'engineGradients',
    cases: 60,
    bug: 'the gradient that goes past each half of a layer is lost',
    line: 'return [grad, grad]',
    planted: 'return [zeros(...grad.shape), grad]',
  },
  {
    address: 'llama.headsOf',
    law: 'engineLogits',
    cases: 60,
    bug: 'keys are not rotated',
    line: "const context = attention(turned(q), turned(k), project('v', G), K, formOf(config, l)) // [T, H K]",
    planted: "const context = attention(turned(q), k, project('v', G), K, formOf(config, l)) // [T, H K]",
  },
  {
    address: 'plainact.sensitivity',
    law: 'engineGradients',
    cases: 60,
    bug: 'the absolute value is left out, so that tokens cancel',
    line: 'scores[u] += Math.abs(dot(a.data, at, g.data, at, K))',
    planted: 'scores[u] += dot(a.data, at, g.data, at, K)',
  },
  {
    address: 'predictor.features',
    law: 'engineText',
    cases: 60,
    bug: 'the predictor reads the first token of the prompt instead of the last',
    line: 'const last = tensor(context.data.slice((T - 1) * D), 1, D)',
    planted: 'const last = tensor(context.data.slice(0, D), 1, D)',
  },
  {
    address: 'training.trainNetwork',
    law: 'engineTraining',
    cases: 20,
    bug: 'the rate does not fall',
    line: 'const r = (rate * (1 + Math.cos(Math.PI * (state.step / S)))) / 2',
    planted: 'const r = rate',
  },
  {
    address: 'select.keepBest',
    law: 'engineSelection',
    cases: 100,
    bug: 'layer 0 is ranked, so that it takes from the budget of the others',
    line: 'const [U, ranked] = [scores[0].length, [...scores.keys()].slice(1)]',
    planted: 'const [U, ranked] = [scores[0].length, [...scores.keys()]]',
  },
  {
    address: 'shadowllm.calibrate',
    law: 'engineLearning',
    cases: 20,
    bug: 'the loss begins one token late',
    line: 'labels.set(text.subarray(promptLength), promptLength - 1)',
    planted: 'labels.set(text.subarray(promptLength), promptLength)',
  },
  {
    address: 'shadowllm.generate',
    law: 'engineText',
    cases: 60,
    bug: 'no mask is applied, neither to the prompt nor to what is written',
    line: 'text = Int32Array.of(...text, mostLikely(model.forward(text, mask).logits))',
    planted: 'text = Int32Array.of(...text, mostLikely(model.forward(text, null).logits))',
  },
]

/** The file of a proof, as a path from the root. */
export function fileOf({ address }: Proof): string {
  return `src/spec/${address.split('.')[0]}.ts`
}
