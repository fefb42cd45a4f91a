/**
 * Operations of the kit as definitions and workloads of FlashInfer-Bench (github.com/flashinfer-ai/flashinfer-bench,
 * docs/flashinfer-trace; schema of 2026-04). The folder of the kit is its dataset: workloads name tensors of the vectors, so that no
 * number is written twice, and `reference` is a function of references.py, in PyTorch.
 *
 * What the schema asks for, and what becomes of a call there:
 * - A tensor is there or not: a definition for each set of optional arrays that a call has.
 * - Names of inputs and outputs differ: an array that is added to comes in as `weight_grad_before`.
 * - Axes are read from inputs: a size that only an output has is a constant of the definition, and one that no array has is a number.
 * - Axes are at least 1, an output that is not finite fails there, and its tolerance is one number. Calls with lists or sizes of 0,
 *   extreme numbers, small and unaligned sizes stay with the judge.
 * - A workload has no room for what is expected, which stands beside its inputs: workload `linear-3` has `3.out.y`.
 * - There are no unsigned bytes (blocks of int4), no numbers that are text (`select`), and a model is no kernel.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { kernels, type KernelName } from '../../src/ops/catalog.ts'
import { isConstant } from '../../src/ops/op.ts'
import { arraysOf } from '../../src/testing/op_case.ts'
import { root } from '../sources.ts'
import { tagsOf, type Expected, type KitCase, type KitOp } from './case.ts'

const dtypes: Readonly<Record<string, string>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I32: 'int32',
  I8: 'int8',
}

const axisNames: Readonly<Record<string, string>> = {
  T: 'tokens',
  C: 'positions that a cache has room for',
  H: 'heads',
  G: 'heads of keys and values',
  K: 'numbers of a head, or of a unit',
  D: 'width',
  V: 'vocabulary',
  O: 'outputs',
  I: 'inputs',
  R: 'chosen units, or numbers that are rotated',
  U: 'units',
  UK: 'numbers of all units',
  S: 'rows',
  N: 'numbers',
}

/** The steps of the method, which are no kernels: the axes of each array. */
const shapesOfMethod: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  plainact: { a: ['T', 'UK'], g: ['T', 'UK'], scores: ['U'] },
  predict: { context: ['T', 'D'], w1: ['R', 'D'], b1: ['R'], w2: ['O', 'R'], b2: ['O'], scores: ['O'] },
}

/** The functions of references.py by name. */
const functions = new Map(
  [
    ...readFileSync(join(root, 'scripts/kit/references.py'), 'utf8').matchAll(
      /^def (\w+)\(.*\n(?:(?: {4}.*)?\n)*/gm,
    ),
  ].map(([text, name]) => [name, text.trimEnd()]),
)

/** A function with those that it calls. */
function sourceOf(name: string): string {
  const used = new Set([name])
  for (const one of used)
    for (const [other] of functions) if (functions.get(one)?.includes(`${other}(`)) used.add(other)
  return [...functions].flatMap(([own, text]) => (used.has(own) ? [text] : [])).join('\n\n\n')
}

/** An operation's function; null where there is none. */
function functionOf(name: string): string | null {
  const op = name in kernels ? kernels[name as KernelName].op : name
  return [name, op].find((own) => functions.has(own)) ?? null
}

const takes = (name: string, argument: string): boolean =>
  new RegExp(`^def \\w+\\(.*\\b${argument}\\b`).test(functions.get(name) ?? '')

const about = { ids: 'each below', ascending: 'ascending, each below', labels: '-100 or below' }

/** The axes of each array, and what it holds. */
function arraysIn(name: string): ReadonlyMap<string, { axes: readonly string[]; description: string }> {
  const own = shapesOfMethod[name]
  if (own) return new Map(Object.entries(own).map(([key, axes]) => [key, { axes, description: 'numbers' }]))
  return new Map(
    arraysOf(kernels[name as KernelName]).map((param) => [
      param.name,
      {
        axes: param.shape,
        description: param.holds === 'numbers' ? 'numbers' : `${about[param.holds]} ${param.below}`,
      },
    ]),
  )
}

/** A file of the export. */
export interface ExportedFile {
  readonly path: string
  readonly text: string
}

/**
 * Definitions and workloads of an operation; none where the schema cannot say it.
 * @param isWhole whether calls of each size are exported, and not only those that a benchmark asks for
 */
export function exportsOf({ name, formula, cases }: KitOp, isWhole = false): ExportedFile[] {
  const reference = functionOf(name)
  const tensors = cases.flatMap((one) => [...one.inputs.values(), ...one.outputs.map(({ tensor }) => tensor)])
  if (reference === null || tensors.some(({ dtype }) => !(dtype in dtypes))) return []
  const arrays = arraysIn(name)
  const known = new Set([...arrays.values()].flatMap(({ axes }) => axes))
  const found = new Map<string, { definition: object; workloads: object[] }>()
  for (const [index, one] of cases.entries()) {
    if (!isJudgedThere(one, isWhole)) continue
    const added = new Set(one.outputs.flatMap((output) => (one.inputs.has(output.name) ? [output.name] : [])))
    const given = [...one.inputs].map(([key, { dtype, shape }]) => ({
      key,
      input: added.has(key) ? `${key}_before` : key,
      sizes: axesOf(key, shape),
      spec: specOf(key, dtype),
    }))
    const scalars = Object.entries(one.numbers).filter(([key]) => !known.has(key))
    const variable = new Map(given.flatMap(({ sizes }) => sizes))
    const constant = new Map(
      one.outputs
        .flatMap(({ name: key, tensor }) => axesOf(key, tensor.shape))
        .filter(([axis]) => !variable.has(axis)),
    )
    const optional = given.flatMap(({ key }) =>
      cases.some(({ inputs }) => !inputs.has(key)) ? [`_${key}`] : [],
    )
    const sizes = [...constant].map(([axis, size]) =>
      isConstant(axis) ? '' : `_${axis.toLowerCase()}${size}`,
    )
    const own = [name, ...optional, ...sizes].join('')
    const isFixed = (axis: string): boolean => isConstant(axis) || constant.has(axis)
    const inputs = [
      ...given.map(({ input, spec }) => [input, spec] as const),
      ...scalars.map(
        ([key]) => [key, { shape: null, dtype: /^[A-Z]$/.test(key) ? 'int32' : 'float32' }] as const,
      ),
    ]
    const passed = [
      ...given.map(({ key, input }) => `${key}=${input}`),
      ...scalars.map(([key]) => `${key}=${key}`),
      ...[...constant].flatMap(([axis, size]) => (takes(reference, axis) ? [`${axis}=${size}`] : [])),
    ]
    const run = `def run(${inputs.map(([key]) => key).join(', ')}):\n    return ${reference}(${passed.join(', ')})`
    const entry = found.get(own) ?? {
      definition: {
        name: own,
        op_type: name,
        description: formula,
        axes: Object.fromEntries(
          [...variable, ...constant].map(([axis, value]) => {
            const description = axisNames[axis] ?? 'a constant'
            return [
              axis,
              isFixed(axis) ? { type: 'const', value, description } : { type: 'var', description },
            ]
          }),
        ),
        inputs: Object.fromEntries(inputs),
        outputs: Object.fromEntries(
          one.outputs.map(({ name: key, tensor }) => [key, specOf(key, tensor.dtype)]),
        ),
        reference: `import torch\n\n\n${sourceOf(reference)}\n\n\n${run}\n`,
      },
      workloads: [],
    }
    found.set(own, entry)
    const path = `vectors/${name}.safetensors`
    entry.workloads.push({
      definition: own,
      workload: {
        uuid: `${name}-${index}`,
        axes: Object.fromEntries([...variable].filter(([axis]) => !isFixed(axis))),
        inputs: Object.fromEntries([
          ...given.map(({ key, input }) => [
            input,
            { type: 'safetensors', path, tensor_key: `${index}.in.${key}` },
          ]),
          ...scalars.map(([key, value]) => [key, { type: 'scalar', value: Math.fround(value as number) }]),
        ]),
      },
    })
  }
  return [...found].flatMap(([own, { definition, workloads }]) => [
    { path: `definitions/${name}/${own}.json`, text: `${JSON.stringify(definition)}\n` },
    {
      path: `workloads/${name}/${own}.jsonl`,
      text: workloads.map((workload) => `${JSON.stringify(workload)}\n`).join(''),
    },
  ])

  function axesOf(key: string, shape: readonly number[]): [string, number][] {
    return (arrays.get(key)?.axes ?? []).map((axis, i) => [axis, shape[i]])
  }

  function specOf(key: string, dtype: string) {
    return { shape: arrays.get(key)?.axes, dtype: dtypes[dtype], description: arrays.get(key)?.description }
  }
}

/** Whether FlashInfer-Bench judges sizes and numbers like these, and a benchmark asks for them. */
function isJudgedThere(one: KitCase, isWhole: boolean): boolean {
  const { size, values, aligned } = tagsOf(one)
  const isFinite = ({ tensor: { data, shape } }: Expected): boolean =>
    !shape.includes(0) && [...(data as Float32Array)].every(Number.isFinite)
  const isAsked = isWhole || (aligned && size !== 'small')
  return isAsked && size !== 'empty' && values !== 'extreme' && one.outputs.every(isFinite)
}
