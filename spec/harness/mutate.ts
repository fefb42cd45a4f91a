/**
 * Mutants: backends with a planted bug in one op. A law that none of them breaks is not a law.
 */
import type { Backend, Buffer, Ops } from '../../src/backends/backend.ts'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import { flatCall } from '../../src/backends/calls.ts'
import type { AnyOp } from '../../src/backends/watched.ts'
import { kernels, type catalog, type KernelName, type OpName } from '../../src/ops/catalog.ts'
import type { Kernel, Numbers } from '../../src/ops/op.ts'
import type { Case } from '../../src/verify/law.ts'
import type { BackendLaw } from '../../src/verify/ops/law.ts'
import { firstFailure } from './seed.ts'

type Catalog = typeof catalog

/** A kernel as its definition: a function of typed arrays. */
export type Definition<Name extends KernelName> = {
  [Op in OpName]: {
    [Storage in keyof Catalog[Op]['kernels']]: Name extends (
      Storage extends 'f32' ? Op : `${Op}_${Storage & string}`
    )
      ? Catalog[Op]['kernels'][Storage] extends Kernel<infer Args>
        ? (...args: Args) => void
        : never
      : never
  }[keyof Catalog[Op]['kernels']]
}[OpName]

/** The backend with one op, a function of buffers, replaced by what `wrap` makes of it. All else is the backend's. */
export function mutate<Name extends OpName>(
  backend: Backend,
  name: Name,
  wrap: (op: Ops[Name]) => Ops[Name],
): Backend {
  const ops: Ops = { ...backend.ops, [name]: wrap(backend.ops[name]) }
  return new Proxy(backend, {
    get(target, property) {
      if (property === 'ops') return ops
      const value: unknown = Reflect.get(target, property, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** The backend with one kernel replaced by another function of typed arrays; `change` is given the definition. */
export function mutateKernel<Name extends KernelName>(
  backend: Backend,
  name: Name,
  change: (definition: Definition<Name>) => Definition<Name>,
): Backend {
  const { op, params, reference } = kernels[name]
  const kernel = change(reference as unknown as Definition<Name>) as unknown as (...args: unknown[]) => void
  const wrap =
    (right: AnyOp): AnyOp =>
    (...args) => {
      const call = flatCall(op as OpName, args)
      if (call.kernel !== name) return right(...args)
      const values = call.args.map((argument) =>
        argument === null || typeof argument === 'number' ? argument : backend.read(argument),
      )
      kernel(...values)
      params.forEach((param, i) => {
        if (param.kind !== 'array' || param.role === 'in' || call.args[i] === null) return
        const [buffer, numbers] = [call.args[i] as Buffer, values[i] as Numbers]
        if (numbers instanceof Int32Array) writeList(backend, buffer, numbers)
        else backend.write(buffer, numbers)
      })
    }
  return mutate(backend, op as OpName, (right) => wrap(right as AnyOp) as Ops[OpName])
}

/** A list can be made by top_k alone: of scores that are 1 at its units. */
function writeList(backend: Backend, buffer: Buffer, list: Int32Array): void {
  const N = Math.max(0, ...list) + 1
  const scores = new Float32Array(Math.max(N, list.length))
  for (const unit of list) scores[unit] = 1
  const scope = new BufferScope(backend)
  try {
    backend.ops.top_k(buffer, scope.upload(scores))
  } finally {
    scope.dispose()
  }
}

/** How a backend breaks a law. The case is not shrunk and not written to fixtures/regressions. */
export interface Breach {
  /** The message of the law. */
  readonly why: string
  /** The case that breaks it; null if the law has no arguments. */
  readonly counterexample: Case | null
}

/**
 * The first case that breaks a law on a backend; null if it holds.
 * @throws what the law threw, if that is a fault of a program (TypeError and the like) and not a law's verdict
 */
export async function breachOf(law: BackendLaw, backend: Backend, runs?: number): Promise<Breach | null> {
  const failure = await firstFailure(law, backend, runs)
  if (failure === null) return null
  const { error, counterexample } = failure
  if (!(error instanceof Error) || error.constructor !== Error) throw error
  return { why: error.message, counterexample }
}

/** Why a law does not hold on a backend; null if it holds. */
export async function verdict(law: BackendLaw, backend: Backend): Promise<string | null> {
  return (await breachOf(law, backend))?.why ?? null
}

/** One law for each name, so that mutants which it finds share it, and what has no bug is tried on it once. */
export function oneEach<Name, Judge>(lawOf: (name: Name) => Judge): (name: Name) => Judge {
  const made = new Map<Name, Judge>()
  return (name) => {
    const law = made.get(name) ?? lawOf(name)
    made.set(name, law)
    return law
  }
}
