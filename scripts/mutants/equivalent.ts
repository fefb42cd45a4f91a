/**
 * Mutants that no test can find, each with the reason why the program does the same with it. They are reported, and not
 * counted among those that could be found.
 */
import type { Mutant } from './derive.ts'

/** A mutant that changes nothing anybody could observe. */
interface Equivalent extends Pick<Mutant, 'file' | 'context' | 'before' | 'after'> {
  readonly why: string
}

/** All that were argued. */
const equivalents: readonly Equivalent[] = [
  {
    file: 'src/io/safetensors_writer.ts',
    context:
      '([nameA, a], [nameB, b]) => elementSize(b.dtype) - elementSize(a.dtype) || (nameA < nameB ? -1 : 1),',
    before: '<',
    after: '<=',
    why: 'the names are the keys of a map, so no two that are compared are equal',
  },
  {
    file: 'src/train/predictor_training.ts',
    context: 'for (let i = 0; i < length; i++) if (spread[i] === 0) spread[i] = 1',
    before: '<',
    after: '<=',
    why: 'behind its end the array has undefined, which is not 0, so nothing is written',
  },
  {
    file: 'src/eval/report/draw.ts',
    context: "const view = new vega.View(vega.parse(spec), { renderer: 'none', logLevel: vega.Error })",
    before: "renderer: 'none', ",
    after: '',
    why: 'a view draws by its renderer only in a page; the text of an SVG is made by another that is named there',
  },
  {
    file: 'src/eval/report/plot_spec.ts',
    context: 'labelPadding: 8,',
    before: '8',
    after: '9',
    why: 'a pixel between an axis and its labels: a matter of looks, on which no number or word of a chart depends',
  },
  {
    file: 'src/verify/ops/int8_product.ts',
    context: '{ runs: 40 },',
    before: 'runs: 40',
    after: '',
    why: 'the law tries 100 cases instead of 40: it takes longer and holds of the same backends',
  },
]

/** Why a mutant is equivalent; null unless that was argued. */
export function whyEquivalent(mutant: Mutant): string | null {
  const found = equivalents.find(
    ({ file, context, before, after }) =>
      file === mutant.file &&
      context === mutant.context &&
      before === mutant.before &&
      after === mutant.after,
  )
  return found?.why ?? null
}
