/**
 * Mutants: backends with a planted bug in one op. A law that none of them breaks is not a law.
 */
import type { Backend, Buffer, Ops } from '../../src/backends/backend.ts'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import { catalog, opRow, type OpName } from '../../src/ops/catalog.ts'
import type { Numbers } from '../../src/ops/op.ts'
import type { BackendLaw } from '../../src/verify/ops/law.ts'
import { firstFailure } from './seed.ts'

/** An op as its definition: a function of typed arrays. */
export type Kernel<Name extends OpName> = (typeof catalog)[Name]['reference']

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

/** The backend with one op replaced by another function of typed arrays; `change` is given the definition. */
export function mutateKernel<Name extends OpName>(
  backend: Backend,
  name: Name,
  change: (definition: Kernel<Name>) => Kernel<Name>,
): Backend {
  const row = opRow(name)
  const kernel = change(catalog[name].reference as Kernel<Name>) as (...args: unknown[]) => void
  const run = (...args: (Buffer | number | null)[]): void => {
    const values = args.map((argument) => {
      if (argument === null || typeof argument === 'number') return argument
      return backend.read(argument)
    })
    kernel(...values)
    row.params.forEach((param, i) => {
      if (param.kind !== 'array' || param.role === 'in' || args[i] === null) return
      const [buffer, numbers] = [args[i] as Buffer, values[i] as Numbers]
      if (numbers instanceof Int32Array) writeList(backend, buffer, numbers)
      else backend.write(buffer, numbers)
    })
  }
  return mutate(backend, name, () => run as unknown as Ops[Name])
}

/** A list can be made by top_k alone: of scores that are 1 at its units. */
function writeList(backend: Backend, buffer: Buffer, list: Int32Array): void {
  const N = Math.max(0, ...list) + 1
  const scores = new Float32Array(Math.max(N, list.length))
  for (const unit of list) scores[unit] = 1
  const scope = new BufferScope(backend)
  try {
    backend.ops.top_k(buffer, scope.upload(scores), scores.length, list.length)
  } finally {
    scope.dispose()
  }
}

/** How a backend breaks a law. The case is not shrunk and not written to fixtures/regressions. */
export interface Breach {
  /** The message of the law. */
  readonly why: string
  /** The case that breaks it; null if the law has no arguments. */
  readonly counterexample: readonly unknown[] | null
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
