/**
 * Every call of a backend is checked: an op must give what its catalogue row allows for the numbers it was given.
 *
 * A bound on the result of a whole model would depend on the model: a layer norm over two nearly equal numbers magnifies any
 * rounding. The bound of a single call is derived (ops/relaxed.ts), so a backend that owes bounds is held to it call by call.
 */
import type { Backend, Buffer } from '../../backends/backend.ts'
import { flatCall } from '../../backends/calls.ts'
import { wrapOps } from '../../backends/watched.ts'
import { compareOutputs, evaluate, owedBy } from '../../testing/op_agreement.ts'
import type { Value, Values } from '../../testing/op_call.ts'
import { kernels, type KernelName } from '../../ops/catalog.ts'
import type { ArrayParam, Numbers } from '../../ops/op.ts'

/** The same backend; an op throws an Error that names the first number past its bound. */
export function judgeCalls(backend: Backend): Backend {
  const judged = wrapOps(backend, (op, run) => (...args) => {
    const { kernel, args: flat } = flatCall(op, args)
    const { params } = kernels[kernel]
    /** The arrays of these parameters that are there, by name. */
    const read = (isRead: (param: ArrayParam) => boolean): Record<string, Numbers> => {
      const found = params.flatMap((param, i) =>
        param.kind === 'array' && isRead(param) && flat[i] !== null
          ? [[param.name, flat[i] as Buffer] as const]
          : [],
      )
      const numbers = found.length === 0 ? [] : backend.readAll(found.map(([, buffer]) => buffer))
      return Object.fromEntries(found.map(([name], i) => [name, numbers[i]]))
    }
    // A device answers slowly: only what the call may write over is read before it, the other inputs with its outputs.
    const aliased = new Set(params.flatMap((param) => (param.kind === 'array' ? [param.mayAlias] : [])))
    const isWritten = ({ name, role }: ArrayParam): boolean => role !== 'in' || aliased.has(name)
    const before = read((param) => param.role !== 'out' && isWritten(param))
    run(...args)
    const after = read((param) => param.role !== 'in' || !isWritten(param))
    const given: Record<string, Value> = { ...before }
    const outputs: Record<string, Numbers> = {}
    params.forEach((param, i) => {
      const { name } = param
      if (param.kind !== 'array') given[name] = flat[i] as number
      else if (flat[i] === null) given[name] = null
      else if (param.role === 'in') given[name] ??= after[name]
      else outputs[name] = after[name]
    })
    judge(backend, kernel, given, outputs)
  })
  return new Proxy(judged, {
    get: (target, key) =>
      key === 'sibling' ? () => judgeCalls(backend.sibling()) : Reflect.get(target, key, target),
  })
}

function judge(
  backend: Backend,
  name: KernelName,
  given: Values,
  actual: Readonly<Record<string, Numbers>>,
): void {
  const { passed, worst } = compareOutputs(name, given, evaluate(name, given), actual, owedBy(backend))
  if (passed || worst === null) return
  const { output, index, expected, actual: found, tolerance } = worst
  const allowed = tolerance === null ? '' : ` ± ${tolerance}`
  throw new Error(`${name}: ${output}[${index}]: expected ${expected}${allowed}, got ${found}`)
}
