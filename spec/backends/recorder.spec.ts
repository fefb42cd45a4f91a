/**
 * Recorded calls compute from what their buffers hold when they run again, and nothing once a buffer of theirs is gone. Recorders
 * that forget a part of that break these laws.
 */
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import type { Backend, Buffer } from '../../src/backends/backend.ts'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import { Recorder, recorderOf, type Recording } from '../../src/backends/recorder.ts'
import { createBackend } from '../../src/backends/select.ts'
import { watchBackend } from '../../src/backends/watched.ts'
import { overBackends } from '../harness/backends.ts'

/** A program of three calls: y = relu(a + b), z = y weight^T for a list of outputs. */
interface Program {
  readonly run: () => void
  readonly buffers: Readonly<Record<'a' | 'b' | 'y' | 'z' | 'weight' | 'list', Buffer>>
  readonly read: () => number[]
}

function programIn(scope: BufferScope): Program {
  const { backend } = scope
  const buffers = {
    a: scope.allocate('f32', [6]),
    b: scope.allocate('f32', [6]),
    y: scope.allocate('f32', [2, 3]),
    z: scope.allocate('f32', [2, 2]),
    weight: scope.upload(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]),
    list: scope.upload(Int32Array.of(1)),
  }
  const { a, b, y, z, weight, list } = buffers
  const run = (): void => {
    backend.ops.add(backend.view(y, [6]), a, b)
    backend.ops.relu(y, y)
    backend.ops.linear(z, y, weight, null, list)
  }
  return { run, buffers, read: () => [...backend.readF32(y), ...backend.readF32(z)] }
}

/** Runs a body with a program whose buffers are freed after it. */
function inProgram<Result>(backend: Backend, body: (program: Program, scope: BufferScope) => Result): Result {
  return BufferScope.within(backend, (scope) => body(programIn(scope), scope))
}

function record(backend: Backend, run: () => void): Recording {
  return (recorderOf(backend.ops) as Pick<Recorder<unknown>, 'record'>).record(run)
}

/** What a recording says after one of its buffers was freed. */
function runAfterFree(backend: Backend, name: keyof Program['buffers']): boolean {
  return inProgram(backend, ({ run, buffers }, scope) => {
    const recording = record(backend, run)
    scope.free(buffers[name])
    return recording.run()
  })
}

const six = fc.array(fc.float({ noNaN: true, min: -8, max: 8 }), { minLength: 6, maxLength: 6, size: 'max' })

overBackends((backend) => {
  test('run again, they compute from what their buffers hold by then', () => {
    fc.assert(
      fc.property(six, six, (a, b) => {
        inProgram(backend, ({ run, buffers, read }) => {
          const recording = record(backend, run)
          backend.write(buffers.a, Float32Array.from(a))
          backend.write(buffers.b, Float32Array.from(b))
          expect(recording.run()).toBe(true)
          const again = read()
          backend.zero(buffers.y)
          backend.zero(buffers.z)
          run()
          expect(again).toEqual(read())
        })
      }),
    )
  })

  test.each(['a', 'b', 'y', 'z', 'weight', 'list'] as const)(
    'after %s was freed nothing runs; another buffer may go',
    (name) => {
      expect(runAfterFree(backend, name)).toBe(false)
      inProgram(backend, ({ run }) => {
        const other = backend.allocate('f32', [6])
        const recording = record(backend, run)
        backend.free(other)
        expect(recording.run()).toBe(true)
      })
    },
  )

  test('nothing runs after a list that they read was made anew', () => {
    inProgram(backend, ({ buffers }, scope) => {
      const list = scope.allocate('i32', [1])
      backend.ops.top_k(list, backend.view(buffers.a, [2]))
      const recording = record(backend, () =>
        backend.ops.linear(buffers.z, buffers.y, buffers.weight, null, list),
      )
      expect(recording.run()).toBe(true)
      backend.ops.top_k(list, backend.view(buffers.a, [2]))
      expect(recording.run()).toBe(false)
    })
  })

  test('a body that frees a buffer of its calls is not run again', () => {
    inProgram(backend, ({ run, buffers }, scope) => {
      const recording = record(backend, () => {
        run()
        scope.free(buffers.weight)
      })
      expect(recording.run()).toBe(false)
    })
  })

  test('a call that is refused is not recorded, and what comes after the body neither', () => {
    inProgram(backend, ({ run, buffers, read }) => {
      const wrong = (): void => backend.ops.add(buffers.y, buffers.a, backend.view(buffers.b, [5]))
      expect(() => record(backend, wrong)).toThrow('expected')
      const recording = record(backend, () => {})
      backend.write(buffers.a, new Float32Array(6).fill(1))
      run()
      const before = read()
      backend.write(buffers.a, new Float32Array(6).fill(2))
      expect(recording.run()).toBe(true)
      expect(read()).toEqual(before)
    })
  })
})

test('ops behind functions of others are not recorded: each call of them is seen', async () => {
  const backend = await createBackend('reference')
  expect(recorderOf(backend.ops)).not.toBeNull()
  expect(recorderOf(watchBackend(backend, () => {}).ops)).toBeNull()
  expect(recorderOf({ ...backend.ops })).toBeNull()
  backend.dispose()
})

test('nothing runs once the backend is disposed', async () => {
  const backend = await createBackend('wasm')
  const recording = record(backend, programIn(new BufferScope(backend)).run)
  expect(recording.run()).toBe(true)
  backend.dispose()
  expect(recording.run()).toBe(false)
})

test('a recorder that does not notice what ends would run on buffers that are gone', async () => {
  const backend = await createBackend('wasm')
  const end = vi.spyOn(Recorder.prototype, 'end').mockImplementation(() => {})
  expect(runAfterFree(backend, 'weight')).toBe(true)
  end.mockRestore()
  expect(runAfterFree(backend, 'weight')).toBe(false)
  backend.dispose()
})
