/**
 * What stands between a caller and a kernel: every call that a kernel could not survive is refused before it runs, with a
 * code, on every backend, and changes nothing.
 */
import { describe, expect, test } from 'vitest'
import type { Backend, Buffer } from '../../src/backends/backend.ts'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import { createBackend } from '../../src/backends/select.ts'
import { opNames, opRow, type OpName } from '../../src/ops/catalog.ts'
import { arrayTypes, elementCount, type Dtype, type Numbers, type Op, type Sizes } from '../../src/ops/op.ts'
import { ShadowError, UsageError } from '../../src/tensor/errors.ts'
import { overBackends } from '../harness/backends.ts'
import { Data } from '../harness/data.ts'
import { fitSizes, lettersOf, makeValues } from '../harness/op_case.ts'

type Argument = Buffer | number | null

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

/** Arguments of a call that is in order, each in a buffer of exactly its length. */
function goodCall(scope: BufferScope, name: OpName): { sizes: Sizes; args: Argument[] } {
  const row = opRow(name)
  const sizes = fitSizes(row, Object.fromEntries(lettersOf(row).map((letter) => [letter, 3])))
  const values = makeValues(name, sizes, new Data(3))
  const args = row.params.map((param): Argument => {
    const value = values[param.name]
    if (param.kind !== 'array') return value as number
    if (value === undefined) return scope.allocate(elementCount(param, sizes), param.dtype)
    return scope.upload(value as Numbers, param.dtype)
  })
  return { sizes, args }
}

/** The call with argument `i` replaced. */
function withArgument(args: readonly Argument[], i: number, argument: Argument): Argument[] {
  return args.map((old, j) => (i === j ? argument : old))
}

function kernelOf(backend: Backend, name: OpName): (...args: Argument[]) => void {
  return backend.ops[name] as (...args: Argument[]) => void
}

/** Sizes just outside a row's range for one letter, and no sizes at all. */
function badSizes(row: Op, letter: string): number[] {
  const param = row.params.find(({ name }) => name === letter)
  if (param?.kind !== 'size') return []
  const tooSmall = typeof param.least === 'number' ? param.least - 1 : 0
  return [-1, 0.5, NaN, Infinity, 2 ** 32, param.most + 1, tooSmall]
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

  describe.each(opNames)('%s', (name) => {
    const row = opRow(name)
    const run = kernelOf(backend, name)

    test('a valid call is accepted', () => inScope((scope) => run(...goodCall(scope, name).args)))

    test('too few or too many arguments throw SIZE', () => {
      inScope((scope) => {
        const { args } = goodCall(scope, name)
        expect(codeOf(() => run(...args.slice(1)))).toBe('SIZE')
        expect(codeOf(() => run(...args, 0))).toBe('SIZE')
        expect(codeOf(() => run())).toBe('SIZE')
      })
    })

    test('a negative, fractional, too small, too large or non-numeric size throws SIZE', () => {
      inScope((scope) => {
        const { args } = goodCall(scope, name)
        row.params.forEach((param, i) => {
          for (const size of badSizes(row, param.name))
            expect(
              codeOf(() => run(...withArgument(args, i, size))),
              `${param.name} = ${size}`,
            ).toBe('SIZE')
        })
      })
    })

    test('a short, foreign, freed, missing or wrong-kind buffer throws its code', () => {
      inScope((scope) => {
        const { args, sizes } = goodCall(scope, name)
        row.params.forEach((param, i) => {
          if (param.kind !== 'array') return
          const refused = (argument: Argument): string | null =>
            codeOf(() => run(...withArgument(args, i, argument)))
          const length = elementCount(param, sizes)
          expect(refused(scope.allocate(length - 1, param.dtype)), param.name).toBe('BUFFER_LENGTH')
          const other = param.dtype === 'f32' ? 'i32' : 'f32'
          expect(refused(scope.allocate(length, other)), param.name).toBe('BUFFER_KIND')
          const gone = backend.allocate(param.dtype, length)
          const view = backend.slice(gone, 0, length)
          backend.free(gone)
          expect(refused(gone), param.name).toBe('BUFFER_FREED')
          expect(refused(view), param.name).toBe('BUFFER_FREED')
          expect(refused(stranger.allocate(param.dtype, length)), param.name).toBe('BUFFER_FOREIGN')
          expect(refused({ dtype: param.dtype, length }), param.name).toBe('BUFFER_FOREIGN')
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
          const unwritten = withArgument(args, i, scope.allocate(length, 'i32'))
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
            const [m, n] = [written, other].map(({ param }) => elementCount(param, sizes))
            const whole = scope.allocate(m + n)
            const at = (start: number, otherStart: number): string | null => {
              const first = withArgument(args, written.i, backend.slice(whole, start, m))
              return codeOf(() => run(...withArgument(first, other.i, backend.slice(whole, otherStart, n))))
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
        const { args } = goodCall(scope, name)
        row.params.forEach((param, i) => {
          if (param.kind === 'array') return
          expect(
            codeOf(() => run(...withArgument(args, i, null))),
            param.name,
          ).toBe('SIZE')
        })
      })
    })
  })

  describe('a list made by an op', () => {
    const topK = kernelOf(backend, 'top_k')

    test('is known to be in range and in order', () => {
      inScope((scope) => {
        const list = scope.allocate(2, 'i32')
        topK(list, scope.upload(Float32Array.of(1, 3, 2)), 3, 2)
        const bias = scope.allocate(3)
        backend.ops.linear_backward_bias(bias, scope.upload(Float32Array.of(5, 6, 7)), list, 1, 3, 2)
        expect([...backend.readF32(bias)]).toEqual([0, 6, 7])
        // Its largest value could be 2, so it is refused where only 0 and 1 are allowed.
        expect(codeOf(() => backend.ops.linear_backward_bias(bias, scope.allocate(2), list, 1, 2, 2))).toBe(
          'INDEX_RANGE',
        )
      })
    })

    test('is written whole: not into a view, BUFFER_VIEW, nor into a longer buffer, BUFFER_LENGTH', () => {
      inScope((scope) => {
        // What these writes would leave behind the list is 99, and known to be 99 only as long as they are refused.
        const list = scope.upload(Int32Array.of(0, 1, 99))
        const scores = scope.upload(Float32Array.of(1, 3, 2))
        expect(codeOf(() => topK(list, scores, 3, 2))).toBe('BUFFER_LENGTH')
        expect(codeOf(() => topK(backend.slice(list, 0, 2), scores, 3, 2))).toBe('BUFFER_VIEW')
        expect([...backend.readI32(list)]).toEqual([0, 1, 99])
      })
    })

    test('a view of a list is known as well as the list', () => {
      inScope((scope) => {
        const [bias, y_grad] = [scope.allocate(3), scope.allocate(3)]
        const add = (list: Buffer): void => backend.ops.linear_backward_bias(bias, y_grad, list, 1, 3, 2)
        expect(codeOf(() => add(backend.slice(scope.upload(Int32Array.of(0, 1, 2)), 1, 2)))).toBeNull()
        expect(codeOf(() => add(backend.slice(scope.upload(Int32Array.of(0, 1, 99)), 1, 2)))).toBe(
          'INDEX_RANGE',
        )
        // The view sees the list as it is now, not as it was when the view was made.
        const list = scope.allocate(2, 'i32')
        const view = backend.slice(list, 0, 2)
        expect(codeOf(() => add(view))).toBe('INDEX_RANGE')
        topK(list, bias, 3, 2)
        expect(codeOf(() => add(view))).toBeNull()
      })
    })
  })

  describe('a buffer', () => {
    test('of negative or fractional length throws SIZE', () => {
      for (const length of [-1, 0.5, NaN, Infinity])
        expect(
          codeOf(() => backend.allocate('f32', length)),
          `${length}`,
        ).toBe('SIZE')
    })

    test('starts as zeros, also in reused memory', () => {
      const old = backend.upload(new Float32Array(100).fill(7))
      backend.free(old)
      inScope((scope) => expect([...backend.readF32(scope.allocate(100))]).toEqual(Array(100).fill(0)))
      const noise = backend.allocate('f32', 2, 'anything') // On the reference, what nobody wrote shows.
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

    test('is written and viewed inside its bounds, else SIZE', () => {
      inScope((scope) => {
        const buffer = scope.upload(Float32Array.of(1, 2, 3, 4))
        const view = backend.slice(buffer, 1, 2)
        backend.write(view, Float32Array.of(8), 1)
        expect([...backend.readF32(buffer)]).toEqual([1, 2, 8, 4])
        backend.zero(view)
        expect([...backend.readF32(buffer)]).toEqual([1, 0, 0, 4])
        expect([...backend.readF32(backend.slice(view, 1, 1))]).toEqual([0])
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
            codeOf(() => backend.slice(view, start, length)),
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
        const buffer = scope.upload(values, dtype)
        expect(buffer).toMatchObject({ dtype, length: 5 })
        expect(backend.read(buffer)).toEqual(values)
        const view = backend.slice(backend.slice(buffer, 1, 4), 2, 2)
        expect([...backend.read(view)]).toEqual([4, 5])
        const copy = backend.read(buffer)
        copy[0] = 9
        expect(backend.read(buffer)).toEqual(values)
        expect(backend.read(scope.allocate(5, dtype))).toEqual(new arrayTypes[dtype](5))
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

    test('of a wrong or unknown kind throws BUFFER_KIND', () => {
      expect(codeOf(() => backend.upload(Uint16Array.of(1)))).toBe('BUFFER_KIND')
      expect(codeOf(() => backend.upload(Uint16Array.of(1), 'f32'))).toBe('BUFFER_KIND')
      expect(codeOf(() => backend.upload(Float32Array.of(1), 'bf16'))).toBe('BUFFER_KIND')
      expect(backend.liveBuffers).toBe(0)
    })

    test('is read and written as its own kind, else BUFFER_KIND', () => {
      inScope((scope) => {
        const list = scope.upload(Int32Array.of(1))
        const floats = scope.upload(Float32Array.of(1))
        const halves = scope.upload(Uint16Array.of(1), 'f16')
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
      const buffer = backend.allocate('f32', 4)
      const view = backend.slice(buffer, 0, 2)
      expect(codeOf(() => backend.free(view))).toBe('BUFFER_VIEW')
      expect(backend.liveBuffers).toBe(1)
      backend.free(buffer)
      for (const attempt of [
        () => backend.free(buffer),
        () => backend.readF32(buffer),
        () => backend.readF32(view),
        () => backend.write(view, new Float32Array(1)),
        () => backend.zero(view),
        () => backend.slice(buffer, 0, 1),
      ])
        expect(codeOf(attempt)).toBe('BUFFER_FREED')
      expect(backend.liveBuffers).toBe(0)
    })
  })

  test('a refused call writes nothing', () => {
    inScope((scope) => {
      const y = scope.upload(Float32Array.of(7, 7))
      const x = scope.upload(Float32Array.of(1))
      expect(codeOf(() => backend.ops.relu(y, x, 2))).toBe('BUFFER_LENGTH')
      expect([...backend.readF32(y)]).toEqual([7, 7])
    })
  })

  test('a disposed backend holds no buffer and throws BACKEND_DISPOSED', async () => {
    const gone = await createBackend(backend.name)
    const buffer = gone.allocate('f32', 3)
    gone.dispose()
    expect(gone.liveBuffers).toBe(0)
    for (const attempt of [
      () => gone.allocate('f32', 1),
      () => gone.upload(new Float32Array(1)),
      () => gone.readF32(buffer),
      () => gone.ops.relu(buffer, buffer, 3),
    ])
      expect(codeOf(attempt)).toBe('BACKEND_DISPOSED')
  })
})

test('an unknown backend is refused by name', async () => {
  const attempt = createBackend('abacus' as 'wasm')
  await expect(attempt).rejects.toThrow(ShadowError)
  await expect(attempt).rejects.toMatchObject({ code: 'BACKEND_NAME', exitCode: 2 })
})
