/**
 * Beside which definition which law of `verify` stands, and the bug that the law finds when it is planted there.
 *
 * All laws are those between engine and specification (`src/verify/model/engine_laws.ts`). A bug is one changed line of the
 * file on the page; the build makes a second copy of the specification with it (`scripts/spec_page/plants.ts`).
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
    address: 'opt.embed',
    law: 'engineLogits',
    cases: 60,
    bug: 'the two rows for padding are forgotten',
    line: 'const rows = tokens.map((_, t) => t + 2)',
    planted: 'const rows = tokens.map((_, t) => t)',
  },
  {
    address: 'opt.runLayer',
    law: 'engineSchedule',
    cases: 60,
    bug: 'every layer has the heads of layer 0',
    line: "const heads = maskUnits(attended.context, factorsOf(mask, 'heads', l))",
    planted: "const heads = maskUnits(attended.context, factorsOf(mask, 'heads', 0))",
  },
  {
    address: 'opt.backward',
    law: 'engineGradients',
    cases: 60,
    bug: 'the gradient that goes past the feed-forward half is lost',
    line: 'grad = add(grad, preNorm ? layerNormBackward(ffnInput, at.middle, ffnNorm) : ffnInput)',
    planted: 'grad = preNorm ? layerNormBackward(ffnInput, at.middle, ffnNorm) : ffnInput',
  },
  {
    address: 'llama.attend',
    law: 'engineLogits',
    cases: 60,
    bug: 'keys are not rotated',
    line: 'const rotated = { query: rotate(q, angles), key: rotate(k, angles), value: v }',
    planted: 'const rotated = { query: rotate(q, angles), key: k, value: v }',
  },
  {
    address: 'plainact.plainact',
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
    address: 'select.selectMask',
    law: 'engineSelection',
    cases: 100,
    bug: 'layer 0 is ranked, so that it takes from the budget of the others',
    line: "const ranked = [...scores.keys()].slice(budget.policy === 'released' ? 0 : 1)",
    planted: 'const ranked = [...scores.keys()]',
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
    bug: 'the mask is not applied to the tokens that are written',
    line: 'text = Int32Array.of(...text, mostLikely(model.forward(text, mask).logits))',
    planted: 'text = Int32Array.of(...text, mostLikely(model.forward(text, null).logits))',
  },
]

/** The file of a proof, as a path from the root. */
export function fileOf({ address }: Proof): string {
  return `src/spec/${address.split('.')[0]}.ts`
}
