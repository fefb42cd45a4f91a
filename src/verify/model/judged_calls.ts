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
    /** The arrays of these roles that are there, by name. */
    const read = (...roles: ArrayParam['role'][]): Record<string, Numbers> => {
      const found = params.flatMap((param, i) =>
        param.kind === 'array' && roles.includes(param.role) && flat[i] !== null
          ? [[param.name, flat[i] as Buffer] as const]
          : [],
      )
      const numbers = backend.readAll(found.map(([, buffer]) => buffer))
      return Object.fromEntries(found.map(([name], i) => [name, numbers[i]]))
    }
    const given: Record<string, Value> = read('in', 'add')
    params.forEach((param, i) => {
      if (param.kind !== 'array') given[param.name] = flat[i] as number
      else if (flat[i] === null) given[param.name] = null
    })
    run(...args)
    judge(backend, kernel, given, read('out', 'add'))
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
