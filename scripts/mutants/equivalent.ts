/**
 * Mutants that no test can find, each with the reason why the behaviour is the same. They are reported and left out of the
 * rate.
 */
import type { Mutant } from './derive.ts'

/** A mutant that changes nothing observable; without `before` and `after`, each mutant of its line. */
interface Equivalent extends Pick<Mutant, 'file' | 'context'>, Partial<Pick<Mutant, 'before' | 'after'>> {
  readonly why: string
}

/** The mutants that are known to be equivalent. */
const equivalents: readonly Equivalent[] = [
  {
    file: 'src/engine/packed_slots.ts',
    context: 'if (order.every((slot) => slot === 0 || units[slot] > units[slot - 1])) return null',
    before: 'if (order.every((slot) => slot === 0 || units[slot] > units[slot - 1])) return null',
    after: ';',
    why: 'the order 0, 1, 2, ... is that of no order; this line saves time',
  },
  {
    file: 'src/backends/webgpu/webgpu_backend.ts',
    context: 'if (isNew || isWhole(buffer, 0, memoryOf(buffer).bytes)) super.clear(buffer, isNew)',
    before: '0, memoryOf(buffer).bytes',
    after: 'memoryOf(buffer).bytes, 0',
    why: 'zeros that the device does not write are copied in; this line saves the copy',
  },
  {
    file: 'src/io/zip_directory.ts',
    context: 'const commentLength = end.getUint16(20, true)',
    before: 'true',
    after: 'false',
    why: 'the length is compared with 0, whose bytes are the same in either order',
  },
  {
    file: 'src/masks/selection.ts',
    context: 'if (floor === 0 || layers === 1) return topK(scores, Math.max(count, floor))',
    before: '||',
    after: '&&',
    why: 'without a floor or with one layer the general way below chooses the same units; this line saves time',
  },
  {
    file: 'src/parity/op_suite.ts',
    context: 'sizes.R = Math.floor(wanted[below] / 2)',
    before: 'Math.floor',
    after: 'Math.ceil',
    why: 'every size of OPT-125m that a list chooses from is even',
  },
  {
    file: 'src/results/cells.ts',
    context: 'return size >= 1000 ? value.toFixed(0) : value.toPrecision(4)',
    before: '>=',
    after: '>',
    why: 'both ways of writing give the text 1000 for 1000',
  },
  {
    file: 'src/io/safetensors_writer.ts',
    context:
      '([nameA, a], [nameB, b]) => elementSize(b.dtype) - elementSize(a.dtype) || (nameA < nameB ? -1 : 1),',
    before: '<',
    after: '<=',
    why: 'the names are keys of a map, so two that are compared are never equal',
  },
  {
    file: 'src/training/predictor_training.ts',
    context: 'for (let i = 0; i < length; i++) if (spread[i] === 0) spread[i] = 1',
    before: '<',
    after: '<=',
    why: 'past its end the array has undefined, which is not 0, so nothing is written',
  },
  {
    file: 'src/experiments/report/draw.ts',
    context: "const view = new vega.View(vega.parse(spec), { renderer: 'none', logLevel: vega.Error })",
    before: "renderer: 'none', ",
    after: '',
    why: 'a view uses its renderer only in a page; toSVG names its own',
  },
  {
    file: 'src/engine/config.ts',
    context:
      "const headSize = readWhole(fields, 'head_dim', 1, MAX_WIDTH, Math.max(1, Math.floor(width / heads)))",
    before: 'Math.floor',
    after: 'Math.ceil',
    why: 'a width that the heads do not divide is refused a few lines on',
  },
  {
    file: 'src/parity/op_hints.ts',
    context: 'const smallestFirst = failing.toSorted((a, b) => sizeOf(a) - sizeOf(b))',
    why: 'a guess must explain every failing case, in whichever order they are tried; small ones take less time',
  },
  {
    file: 'src/predictor/predictor_config_schema.ts',
    context: 'top: v.optional(shares, [...shadowDefaults.top]),',
    before: '...shadowDefaults.top',
    after: '',
    why: 'the list is empty',
  },
  {
    file: 'src/verify/model/gradient_laws.ts',
    context: 'for (let i = 1; i + 1 < extrapolated.length; i++) {',
    before: '<',
    after: '<=',
    why: 'the last number has none after it, so its disagreement is NaN, which is less than nothing',
  },
]

/** Mutants of one form that change nothing observable, wherever they stand. */
interface EquivalentClass {
  readonly why: string
  readonly has: (mutant: Mutant) => boolean
}

const classes: readonly EquivalentClass[] = [
  {
    why: 'the correlation of two rows adds up the same products in either order',
    has: ({ kind, context, before }) =>
      kind === 'arguments swapped' && context.includes(`correlation(${before})`),
  },
  {
    why: 'it decides only how a counterexample shrinks',
    has: ({ file, kind, context, before }) =>
      file.startsWith('src/verify/') &&
      ((kind === 'flag' && /^\{ withCrossShrink: (true|false) \},?$/.test(context)) ||
        (kind === 'property dropped' && /^[,\s]*withCrossShrink: (true|false)[,\s]*$/.test(before))),
  },
  {
    why: 'a law tries another number of cases and gives the same verdict',
    has: ({ file, kind, context, before }) =>
      file.startsWith('src/verify/') &&
      (kind === 'constant'
        ? context.split(before).length === 2 && context.includes(`runs: ${before}`)
        : kind === 'property dropped' && /^[,\s]*runs: \d+[,\s]*$/.test(before)),
  },
]

/** Why a mutant is equivalent; null unless it is known to be. */
export function whyEquivalent(mutant: Mutant): string | null {
  const ofClass = classes.find(({ has }) => has(mutant))
  if (ofClass) return ofClass.why
  const found = equivalents.find(
    ({ file, context, before = mutant.before, after = mutant.after }) =>
      file === mutant.file &&
      context === mutant.context &&
      before === mutant.before &&
      after === mutant.after,
  )
  return found?.why ?? null
}
