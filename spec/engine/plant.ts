/**
 * Ways to plant a bug in a subject of the model's laws: in an op, in what is loaded, in how a sequence begins or asks its
 * planner. Code is never edited.
 */
import type { Backend, Ops } from '../../src/backends/backend.ts'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import type { MaskPlanner, PlannerBy } from '../../src/masks/planner.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { Load, Subject } from './cases.ts'

/** Bugs by name: a way to plant each, and the laws it must break. */
export type Mutants<LawName> = Readonly<
  Record<string, { readonly plant: () => Subject; readonly breaks: readonly LawName[] }>
>

/** A backend some of whose members are wrong. */
export function wrongBackend(wrong: (right: Backend) => Partial<Backend> & { ops?: Ops }): Subject {
  const right = new ReferenceBackend()
  const replaced = wrong(right)
  const backend = new Proxy<Backend>(right, {
    get(_target, key) {
      if (key in replaced) return replaced[key as keyof Backend]
      const member: unknown = Reflect.get(right, key, right)
      return typeof member === 'function' ? member.bind(right) : member
    },
  })
  return { backend, load: LanguageModel.load }
}

/** A backend some of whose ops are wrong. */
export function wrongOps(wrong: (right: Ops, backend: Backend) => Partial<Ops>): () => Subject {
  return () => wrongBackend((right) => ({ ops: { ...right.ops, ...wrong(right.ops, right) } }))
}

/** A loader whose models are wrong. */
export function wrongLoad(wrong: (load: Load) => Load): () => Subject {
  return () => ({ backend: new ReferenceBackend(), load: wrong(LanguageModel.load) })
}

type Begin = LanguageModel['begin']

/** A loader whose models begin sequences wrongly. */
export function wrongBegin(wrong: (right: Begin, model: LanguageModel) => Begin): () => Subject {
  return wrongLoad((load) => async (...args) => {
    const model = await load(...args)
    model.begin = wrong(model.begin.bind(model), model)
    return model
  })
}

/** A loader whose models have something wrong with the planner of a sequence; `feeds` counts the feeds so far. */
export function wrongPlanner(
  wrong: (planner: MaskPlanner, feeds: () => number) => MaskPlanner,
): () => Subject {
  return wrongBegin((right) => ({ planner, ...rest } = {}) => {
    let feeds = 0
    const sequence = right({ ...rest, planner: planner && wrong(planner, () => feeds) })
    const feed = sequence.feed.bind(sequence)
    sequence.feed = (...args) => {
      feeds++
      return feed(...args)
    }
    return sequence
  })
}

/** A loader whose models have something wrong with the planners of one way of deciding. */
export function wrongPlannerBy<By extends MaskPlanner['by']>(
  by: By,
  wrong: (planner: PlannerBy<By>, model: LanguageModel) => Partial<PlannerBy<By>>,
): () => Subject {
  const isOne = (planner: MaskPlanner): planner is PlannerBy<By> => planner.by === by
  return wrongBegin((right, model) => ({ planner = null, ...rest } = {}) => {
    const shown = planner && isOne(planner) ? { ...planner, ...wrong(planner, model) } : planner
    return right({ ...rest, planner: shown })
  })
}

/** A planner that is asked as it should be, but only its first answer of each epoch is heard. */
export function firstHeard(planner: MaskPlanner, epoch: () => number): MaskPlanner {
  const firsts = new Map<string, unknown>()
  const hear = <Answer>(layer: number, answer: Answer): Answer => {
    const key = `${epoch()} ${layer}`
    if (!firsts.has(key)) firsts.set(key, answer)
    return firsts.get(key) as Answer
  }
  if (planner.by === 'attention')
    return { ...planner, by: 'attention', choose: (view) => hear(-1, planner.choose(view)) }
  if (planner.by !== 'layer') return planner
  return {
    ...planner,
    by: 'layer',
    choose: (layer, ...shown) => hear(layer, planner.choose(layer, ...shown)),
  }
}

/** A loader whose models look up positions wrongly. */
export function wrongPositions(
  wrong: (model: LanguageModel, past: number, T: number) => number,
): () => Subject {
  return wrongLoad((load) => async (config, source, backend, options) => {
    const model = await load(config, source, backend, options)
    const rows = backend.upload(Int32Array.from({ length: config.positions + 2 }, (_, row) => row))
    model.positionRows = (past, T) => backend.view(rows, [T], wrong(model, past, T))
    const dispose = model.dispose.bind(model)
    model.dispose = () => {
      backend.free(rows)
      dispose()
    }
    return model
  })
}

/** Row l of the mask becomes row l + 1. */
export function shiftLayers({ shape, heads, neurons }: UnitMask): UnitMask {
  const shift = (table: Float32Array, units: number): Float32Array =>
    table.map((_, i) => table[(i + units) % table.length])
  return makeMask(shape, shift(heads, shape.heads), shift(neurons, shape.neurons))
}
