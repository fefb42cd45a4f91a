/**
 * What stands between a caller and a kernel: every call that a kernel could not survive is refused before it runs, with a
 * code, on every backend, and changes nothing.
 *
 * Tests src/backends/buffer_scope.ts, src/backends/calls.ts, src/backends/checked_backend.ts and
 * src/backends/owned_buffer.ts.
 */
import { describe, expect, test } from 'vitest'
import type { Buffer, Ops, StoredBuffer } from '../../src/backends/backend.ts'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import {
  formsOf,
  opCall,
  runKernel,
  type Argument,
  type CallForm,
  type FlatArgument,
} from '../../src/backends/calls.ts'
import { lengthOf } from '../../src/backends/owned_buffer.ts'
import { createBackend } from '../../src/backends/select.ts'
import { kernelNames, kernels, type KernelName, type OpName } from '../../src/ops/catalog.ts'
import {
  arrayTypes,
  bufferShape,
  elementCount,
  type Dtype,
  type Numbers,
  type Param,
  type SizeParam,
  type Sizes,
} from '../../src/ops/op.ts'
import { ShadowError, UsageError } from '../../src/tensor/errors.ts'
import { overBackends } from '../harness/backends.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { fitSizes, lettersOf, makeValues } from '../../src/testing/op_case.ts'

/** The code a call is refused with; null if it is not refused. */
function codeOf(attempt: () => unknown): string | null {
  try {
    attempt()
    return null
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    expect(error.exitCode).toBe(2)
    expect(error.message).toMatch(/^[\w. -]+: expected .+, got .+/)
    return error.code
  }
}

/** The arguments of a kernel at these sizes. */
function callOf(scope: BufferScope, name: KernelName, sizes: Sizes): FlatArgument[] {
  const values = makeValues(name, sizes, new Data(3))
  return kernels[name].params.map((param): FlatArgument => {
    const value = values[param.name]
    if (param.kind !== 'array') return value as number
    const shape = bufferShape(param, sizes)
    if (value === undefined) return scope.allocate(param.dtype, shape)
    return scope.upload(value as Numbers, shape, param.dtype)
  })
}

/** A call that is in order. */
function goodCall(scope: BufferScope, name: KernelName): { sizes: Sizes; args: FlatArgument[] } {
  const row = kernels[name]
  const sizes = fitSizes(row, Object.fromEntries(lettersOf(row).map((letter) => [letter, 3])))
  return { sizes, args: callOf(scope, name, sizes) }
}

/** The call with argument `i` replaced. */
function withArgument(args: readonly FlatArgument[], i: number, argument: unknown): FlatArgument[] {
  return args.map((old, j) => (i === j ? (argument as FlatArgument) : old))
}

/** Which arguments of the op its numbers are: scalars, and sizes that no array has. */
function numbersOf(name: KernelName): { from: number; param: Param }[] {
  const { op, params } = kernels[name]
  const form = formsOf(op as OpName).find(({ kernel }) => kernel.name === name) as CallForm
  return form.numbers.map(({ from, to }) => ({ from, param: params[to] }))
}

/** Sizes just outside a range, if arrays of such a size can be had. */
function badSizes({ least, most }: SizeParam, sizes: Sizes): number[] {
  const letters = typeof least === 'number' ? [] : least.split(' + ')
  const smallest = letters.reduce((sum, letter) => sum + sizes[letter], typeof least === 'number' ? least : 0)
  return [smallest - 1, most + 1].filter((size) => size >= 0 && size < 70_000)
}

/** A backend whose buffers are none of the others' business. */
const stranger = await createBackend('reference')

overBackends((backend) => {
  /** Runs a body with buffers that are freed after it. */
  function inScope(body: (scope: BufferScope) => void): void {
    const scope = new BufferScope(backend)
    try {
      body(scope)
    } finally {
      scope.dispose()
    }
  }

  describe.each(kernelNames)('%s', (name) => {
    const row = kernels[name]
    const run = (...args: FlatArgument[]): void => runKernel(backend.ops, name, args)
    const runOp = (...args: Argument[]): void =>
      (backend.ops[row.op as OpName] as (...all: Argument[]) => void)(...args)

    test('a valid call is accepted', () => inScope((scope) => run(...goodCall(scope, name).args)))

    test('too few or too many arguments throw SIZE', () => {
      inScope((scope) => {
        const { args } = opCall(name, goodCall(scope, name).args)
        expect(codeOf(() => runOp(...args.slice(1)))).toBe('SIZE')
        expect(codeOf(() => runOp(...args, 0))).toBe('SIZE')
        expect(codeOf(() => runOp())).toBe('SIZE')
      })
    })

    test('a negative, fractional, too small, too large or non-numeric size throws SIZE', () => {
      inScope((scope) => {
        const { sizes, args: flat } = goodCall(scope, name)
        const { args } = opCall(name, flat)
        for (const { from, param } of numbersOf(name))
          if (param.kind === 'size')
            for (const size of [-1, 0.5, NaN, Infinity, 2 ** 32, ...badSizes(param, sizes)])
              expect(
                codeOf(() => runOp(...args.map((old, i) => (i === from ? size : old)))),
                `${param.name} = ${size}`,
              ).toBe('SIZE')
      })
    })

    test('arrays of a size that is too small or too large: SIZE', () => {
      inScope((scope) => {
        const { sizes } = goodCall(scope, name)
        for (const param of row.params)
          if (param.kind === 'size')
            for (const size of badSizes(param, sizes))
              expect(
                codeOf(() => run(...callOf(scope, name, { ...sizes, [param.name]: size }))),
                `${param.name} = ${size}`,
              ).toBe('SIZE')
      })
    })

    test('a buffer of another shape than the others ask for: BUFFER_LENGTH; of one letter any shape will do', () => {
      inScope((scope) => {
        const { args, sizes } = goodCall(scope, name)
        const arrays = row.params.flatMap((param, i) => (param.kind === 'array' ? [{ param, i }] : []))
        for (const { param, i } of arrays) {
          const shape = bufferShape(param, sizes)
          const refused = (other: number[]): string | null =>
            codeOf(() => run(...withArgument(args, i, scope.allocate(param.dtype, other))))
          if (param.dims.length > 1) expect(refused([shape.reduce((a, b) => a * b)])).toBe('BUFFER_LENGTH')
          else if (param.dtype !== 'i32') expect(refused([1, shape[0], 1])).toBeNull()
          param.dims.forEach((letters, dim) => {
            const others = arrays.filter((other) => other.param !== param).map((other) => other.param.shape)
            if (!letters.every((letter) => letter === '1' || others.some((known) => known.includes(letter))))
              return
            const code = refused(shape.with(dim, shape[dim] + 1))
            // The size that it gives may be past its own limit.
            expect(['BUFFER_LENGTH', 'SIZE'], `${param.name} ${dim}`).toContain(code)
          })
        }
      })
    })

    test('a short, foreign, freed, missing or wrong-kind buffer throws its code', () => {
      inScope((scope) => {
        const { args, sizes } = goodCall(scope, name)
        row.params.forEach((param, i) => {
          if (param.kind !== 'array') return
          const refused = (argument: unknown): string | null =>
            codeOf(() => run(...withArgument(args, i, argument)))
          const shape = bufferShape(param, sizes)
          const other = param.dtype === 'i32' ? 'f32' : 'i32'
          expect(refused(scope.allocate(other, shape)), param.name).toBe('BUFFER_KIND')
          const gone = backend.allocate(param.dtype, shape)
          const view = backend.view(gone, shape)
          backend.free(gone)
          expect(refused(gone), param.name).toBe('BUFFER_FREED')
          expect(refused(view), param.name).toBe('BUFFER_FREED')
          expect(refused(stranger.allocate(param.dtype, shape)), param.name).toBe('BUFFER_FOREIGN')
          expect(refused({ dtype: param.dtype, shape, length: gone.length }), param.name).toBe(
            'BUFFER_FOREIGN',
          )
          if (!param.optional) expect(refused(null), param.name).toBe('BUFFER_KIND')
          expect(refused(0), param.name).toBe('BUFFER_FOREIGN')
        })
      })
    })

    test('a list with a value out of range, unordered or unwritten throws INDEX_RANGE', () => {
      inScope((scope) => {
        const { args, sizes } = goodCall(scope, name)
        row.params.forEach((param, i) => {
          if (param.kind !== 'array' || param.role !== 'in' || param.below === null) return
          const length = elementCount(param, sizes)
          const good = Int32Array.from({ length }, (_, n) => n)
          const refused = (list: Int32Array): string | null =>
            codeOf(() => run(...withArgument(args, i, scope.upload(list))))
          expect(refused(good), 'in order').toBeNull()
          for (const value of [sizes[param.below], 2 ** 31 - 1, -1, -2, -(2 ** 31)])
            for (const at of [0, length - 1])
              expect(refused(good.with(at, value)), `${value}`).toBe('INDEX_RANGE')
          expect(refused(good.with(0, -100)), 'not scored').toBe(
            param.holds === 'labels' ? null : 'INDEX_RANGE',
          )
          const disordered = param.holds === 'ascending' && !param.anyOrder ? 'INDEX_RANGE' : null
          expect(refused(good.toReversed()), 'reversed').toBe(disordered)
          expect(refused(good.fill(1)), 'repeated').toBe(disordered)
          const unwritten = withArgument(args, i, scope.allocate('i32', [length]))
          expect(
            codeOf(() => run(...unwritten)),
            'never written',
          ).toBe('INDEX_RANGE')
        })
      })
    })

    test('an output that overlaps another array throws BUFFER_ALIAS, unless it may alias', () => {
      inScope((scope) => {
        const { args, sizes } = goodCall(scope, name)
        const arrays = row.params.flatMap((param, i) => (param.kind === 'array' ? [{ param, i }] : []))
        for (const written of arrays.filter(({ param }) => param.role !== 'in'))
          for (const other of arrays) {
            if (other === written || other.param.dtype !== 'f32' || written.param.dtype !== 'f32') continue
            const shapes = [written, other].map(({ param }) => bufferShape(param, sizes))
            const [m, n] = shapes.map(lengthOf)
            const whole = scope.allocate('f32', [m + n])
            const at = (start: number, otherStart: number): string | null => {
              const first = withArgument(args, written.i, backend.view(whole, shapes[0], start))
              const second = backend.view(whole, shapes[1], otherStart)
              return codeOf(() => run(...withArgument(first, other.i, second)))
            }
            const may = [
              written.param.mayAlias === other.param.name,
              other.param.mayAlias === written.param.name,
            ]
            const what = `${written.param.name}, ${other.param.name}`
            expect(at(0, 0), what).toBe(may.includes(true) ? null : 'BUFFER_ALIAS')
            expect(at(0, m - 1), what).toBe(m === 1 && may.includes(true) ? null : 'BUFFER_ALIAS')
            expect(at(n - 1, 0), what).toBe(n === 1 && may.includes(true) ? null : 'BUFFER_ALIAS')
            expect(at(0, m), what).toBeNull()
            expect(at(n, 0), what).toBeNull()
          }
      })
    })

    test('an argument that is not a number throws SIZE', () => {
      inScope((scope) => {
        const { args } = opCall(name, goodCall(scope, name).args)
        for (const { from, param } of numbersOf(name))
          expect(
            codeOf(() => runOp(...args.map((old, i) => (i === from ? null : old)))),
            param.name,
          ).toBe('SIZE')
      })
    })
  })

  test('numbers of int8 without scales, and scales beside others: BUFFER_KIND, BUFFER_FOREIGN', () => {
    inScope((scope) => {
      const [y, x] = [scope.allocate('f32', [1, 2]), scope.allocate('f32', [1, 2])]
      const [values, scales] = [scope.allocate('i8', [2, 2]), scope.allocate('f32', [2])]
      const refused = (weight: StoredBuffer): string | null =>
        codeOf(() => backend.ops.linear(y, x, weight, null, null))
      expect(refused({ values, scales })).toBeNull()
      expect(refused(values)).toBe('BUFFER_KIND')
      expect(refused({ values: scope.allocate('f32', [2, 2]), scales })).toBe('BUFFER_FOREIGN')
    })
  })

  test('a message says which array, what shape was expected and what came', () => {
    inScope((scope) => {
      const [y, x, weight] = [
        [3, 8],
        [3, 7],
        [8, 8],
      ].map((shape) => scope.allocate('f32', shape))
      expect(() => backend.ops.linear(y, x, weight, null, null)).toThrow(
        'linear.weight: expected [8, 7], got [8, 8]',
      )
      expect(() => backend.ops.attention(y, x, weight, weight, null, null, 1, 0, 3, 3)).toThrow(
        'attention.key: expected 3 dimensions, got [8, 8]',
      )
    })
  })

  test('heads need a key head, and no heads need none', () => {
    inScope((scope) => {
      const attend = (heads: number, keyHeads: number): string | null => {
        const [y, query] = [0, 1].map(() => scope.allocate('f32', [2, heads * 4]))
        const [key, value] = [0, 1].map(() => scope.allocate('f32', [keyHeads, 3, 4]))
        return codeOf(() => backend.ops.attention(y, query, key, value, null, null, 1, 0, 2, 2))
      }
      expect([attend(3, 1), attend(0, 0), attend(0, 1), attend(3, 0)]).toEqual([null, null, null, 'SIZE'])
    })
  })

  describe('a list made by an op', () => {
    const topK: Ops['top_k'] = (indices, scores) => backend.ops.top_k(indices, scores)

    test('is known to be in range and in order', () => {
      inScope((scope) => {
        const list = scope.allocate('i32', [2])
        topK(list, scope.upload(Float32Array.of(1, 3, 2)))
        const bias = scope.allocate('f32', [3])
        backend.ops.linear_backward_bias(bias, scope.upload(Float32Array.of(5, 6, 7), [1, 3]), list)
        expect([...backend.readF32(bias)]).toEqual([0, 6, 7])
        // Its largest value could be 2, so it is refused where only 0 and 1 are allowed.
        const narrow = [scope.allocate('f32', [2]), scope.allocate('f32', [1, 2])] as const
        expect(codeOf(() => backend.ops.linear_backward_bias(...narrow, list))).toBe('INDEX_RANGE')
      })
    })

    test('is written whole: not into a view, BUFFER_VIEW', () => {
      inScope((scope) => {
        // What this write would leave behind the list is 99, and known to be 99 only as long as it is refused.
        const list = scope.upload(Int32Array.of(0, 1, 99))
        const scores = scope.upload(Float32Array.of(1, 3, 2))
        expect(codeOf(() => topK(backend.view(list, [2]), scores))).toBe('BUFFER_VIEW')
        expect([...backend.readI32(list)]).toEqual([0, 1, 99])
      })
    })

    test('a view of a list is known as well as the list', () => {
      inScope((scope) => {
        const [bias, y_grad] = [scope.allocate('f32', [3]), scope.allocate('f32', [1, 3])]
        const add = (list: Buffer): void => backend.ops.linear_backward_bias(bias, y_grad, list)
        expect(codeOf(() => add(backend.view(scope.upload(Int32Array.of(0, 1, 2)), [2], 1)))).toBeNull()
        expect(codeOf(() => add(backend.view(scope.upload(Int32Array.of(0, 1, 99)), [2], 1)))).toBe(
          'INDEX_RANGE',
        )
        // The view sees the list as it is now, not as it was when the view was made.
        const list = scope.allocate('i32', [2])
        const view = backend.view(list, [2])
        expect(codeOf(() => add(view))).toBe('INDEX_RANGE')
        topK(list, bias)
        expect(codeOf(() => add(view))).toBeNull()
      })
    })
  })

  describe('a buffer', () => {
    test('of negative or fractional length throws SIZE', () => {
      for (const length of [-1, 0.5, NaN, Infinity])
        expect(
          codeOf(() => backend.allocate('f32', [2, length])),
          `${length}`,
        ).toBe('SIZE')
    })

    test('starts as zeros, also in reused memory', () => {
      const old = backend.upload(new Float32Array(100).fill(7))
      backend.free(old)
      inScope((scope) =>
        expect([...backend.readF32(scope.allocate('f32', [100]))]).toEqual(Array(100).fill(0)),
      )
      const noise = backend.allocate('f32', [2], 'anything') // On the reference, what nobody wrote shows.
      if (backend.name === 'reference') expect([...backend.readF32(noise)]).toEqual([NaN, NaN])
      backend.free(noise)
    })

    test('is read as a copy, and uploaded as one', () => {
      inScope((scope) => {
        const values = Float32Array.of(1, 2, 3)
        const buffer = scope.upload(values)
        values[0] = 9
        const copy = backend.readF32(buffer)
        copy[1] = 9
        expect([...backend.readF32(buffer)]).toEqual([1, 2, 3])
      })
    })

    test('is read beside others as alone: views at any place, of any kind, and empty ones', () => {
      inScope((scope) => {
        const bytes = scope.upload(Int8Array.from({ length: 11 }, (_, i) => i - 5))
        const buffers = [
          scope.upload(Float32Array.of(1, -0, NaN)),
          backend.view(bytes, [3], 5),
          scope.allocate('f32', [0]),
          scope.upload(Uint16Array.of(1, 2, 3), [3], 'f16'),
          bytes,
          scope.upload(Int32Array.of(7)),
        ]
        expect(backend.readAll(buffers)).toEqual(buffers.map((buffer) => backend.read(buffer)))
        expect(backend.readAll([])).toEqual([])
      })
    })

    test('is written and viewed inside its bounds, else SIZE', () => {
      inScope((scope) => {
        const buffer = scope.upload(Float32Array.of(1, 2, 3, 4))
        const view = backend.view(buffer, [2], 1)
        backend.write(view, Float32Array.of(8), 1)
        expect([...backend.readF32(buffer)]).toEqual([1, 2, 8, 4])
        backend.zero(view)
        expect([...backend.readF32(buffer)]).toEqual([1, 0, 0, 4])
        expect([...backend.readF32(backend.view(view, [1], 1))]).toEqual([0])
        for (const [start, length] of [
          [-1, 1],
          [0, 3],
          [2, 1],
          [3, 0],
          [0.5, 1],
          [0, -1],
          [NaN, 1],
        ])
          expect(
            codeOf(() => backend.view(view, [length], start)),
            `${start}, ${length}`,
          ).toBe('SIZE')
        for (const start of [-1, 1.5, 2, NaN])
          expect(
            codeOf(() => backend.write(view, Float32Array.of(1), start)),
            `${start}`,
          ).toBe('SIZE')
        expect(codeOf(() => backend.write(view, new Float32Array(3)))).toBe('SIZE')
        expect([...backend.readF32(buffer)]).toEqual([1, 0, 0, 4])
      })
    })

    test.each(Object.keys(arrayTypes) as Dtype[])('of %s holds its values, byte for byte', (dtype) => {
      inScope((scope) => {
        const values = new arrayTypes[dtype](5)
        values.set([1, 2, 3, 4, 5])
        const buffer = scope.upload(values, [5], dtype)
        expect(buffer).toMatchObject({ dtype, shape: [5], length: 5 })
        expect(backend.read(buffer)).toEqual(values)
        const view = backend.view(backend.view(buffer, [4], 1), [2], 2)
        expect([...backend.read(view)]).toEqual([4, 5])
        const copy = backend.read(buffer)
        copy[0] = 9
        expect(backend.read(buffer)).toEqual(values)
        expect(backend.read(scope.allocate(dtype, [5]))).toEqual(new arrayTypes[dtype](5))
        const change = (): void => backend.write(view, values.subarray(0, 1), 1)
        if (dtype === 'i32') {
          expect(codeOf(change)).toBe('BUFFER_KIND')
          expect(codeOf(() => backend.zero(view))).toBe('BUFFER_KIND')
          return
        }
        change()
        expect([...backend.read(buffer)]).toEqual([1, 2, 3, 4, 1])
        backend.zero(view)
        expect([...backend.read(buffer)]).toEqual([1, 2, 3, 0, 0])
      })
    })

    test('is seen in any shape of numbers inside it, and uploaded in one of as many', () => {
      inScope((scope) => {
        const shape = [2, 3]
        const buffer = scope.upload(Float32Array.of(1, 2, 3, 4, 5, 6), shape)
        shape[0] = 9
        expect(buffer).toMatchObject({ shape: [2, 3], length: 6 })
        const view = backend.view(buffer, [2, 1, 2], 1)
        expect(view).toMatchObject({ shape: [2, 1, 2], length: 4 })
        expect([...backend.readF32(view)]).toEqual([2, 3, 4, 5])
        expect(codeOf(() => backend.view(buffer, [2, 4]))).toBe('SIZE')
        expect(codeOf(() => backend.view(buffer, [-1, -1]))).toBe('SIZE')
        expect(codeOf(() => backend.upload(new Float32Array(6), [2, 2]))).toBe('SIZE')
      })
    })

    test('of a wrong or unknown kind throws BUFFER_KIND', () => {
      expect(codeOf(() => backend.upload(Uint16Array.of(1)))).toBe('BUFFER_KIND')
      expect(codeOf(() => backend.upload(Uint16Array.of(1), [1], 'f32'))).toBe('BUFFER_KIND')
      expect(codeOf(() => backend.upload(Float32Array.of(1), [1], 'bf16'))).toBe('BUFFER_KIND')
      expect(backend.liveBuffers).toBe(0)
    })

    test('is read and written as its own kind, else BUFFER_KIND', () => {
      inScope((scope) => {
        const list = scope.upload(Int32Array.of(1))
        const floats = scope.upload(Float32Array.of(1))
        const halves = scope.upload(Uint16Array.of(1), [1], 'f16')
        expect(codeOf(() => backend.readF32(halves))).toBe('BUFFER_KIND')
        expect(codeOf(() => backend.write(halves, new Float32Array(1)))).toBe('BUFFER_KIND')
        expect(codeOf(() => backend.write(floats, new Uint16Array(1)))).toBe('BUFFER_KIND')
        expect(codeOf(() => backend.readF32(list))).toBe('BUFFER_KIND')
        expect(codeOf(() => backend.zero(list))).toBe('BUFFER_KIND')
        expect(codeOf(() => backend.write(list, new Float32Array(1)))).toBe('BUFFER_KIND')
        expect(codeOf(() => backend.readI32(floats))).toBe('BUFFER_KIND')
      })
    })

    test('is freed once and not through a view, else BUFFER_FREED or BUFFER_VIEW', () => {
      const buffer = backend.allocate('f32', [4])
      const view = backend.view(buffer, [2])
      expect(codeOf(() => backend.free(view))).toBe('BUFFER_VIEW')
      expect(backend.liveBuffers).toBe(1)
      backend.free(buffer)
      for (const attempt of [
        () => backend.free(buffer),
        () => backend.readF32(buffer),
        () => backend.readF32(view),
        () => backend.readAll([view]),
        () => backend.write(view, new Float32Array(1)),
        () => backend.zero(view),
        () => backend.view(buffer, [1]),
      ])
        expect(codeOf(attempt)).toBe('BUFFER_FREED')
      expect(backend.liveBuffers).toBe(0)
    })
  })

  test('a refused call writes nothing', () => {
    inScope((scope) => {
      const y = scope.upload(Float32Array.of(7, 7))
      const x = scope.upload(Float32Array.of(1))
      expect(codeOf(() => backend.ops.relu(y, x))).toBe('BUFFER_LENGTH')
      expect([...backend.readF32(y)]).toEqual([7, 7])
    })
  })

  test('a disposed backend holds no buffer and throws BACKEND_DISPOSED', async () => {
    const gone = await createBackend(backend.name)
    const buffer = gone.allocate('f32', [3])
    gone.dispose()
    expect(gone.liveBuffers).toBe(0)
    for (const attempt of [
      () => gone.allocate('f32', [1]),
      () => gone.upload(new Float32Array(1)),
      () => gone.readF32(buffer),
      () => gone.ops.relu(buffer, buffer),
    ])
      expect(codeOf(attempt)).toBe('BACKEND_DISPOSED')
  })
})

test('an unknown backend is refused by name', async () => {
  const attempt = createBackend('abacus' as 'wasm')
  await expect(attempt).rejects.toThrow(ShadowError)
  await expect(attempt).rejects.toMatchObject({ code: 'BACKEND_NAME', exitCode: 2 })
})
