/**
 * What the host side hands the CUDA driver is what NVIDIA's own header says: the structure of a node, field by field, the
 * kinds of every call's arguments, and the numbers that stand for options and results, the emulator's too.
 *
 * A C++ compiler is asked, with cuda.h in front of it; where there is none of the two this shows as skipped.
 *
 * Tests src/backends/cuda/device.ts, src/backends/cuda/driver.ts, src/backends/cuda/launch_memory.ts and
 * src/backends/cuda/stopwatch.ts.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { root } from '../../../scripts/sources.ts'
import { compile, whyMissing } from '../../../scripts/tool.ts'
import {
  CAPABILITY_MAJOR,
  CAPABILITY_MINOR,
  MOST_SHARED,
  DYNAMIC_SHARED_BYTES,
} from '../../../src/backends/cuda/device.ts'
import { calls, NO_DEVICE, OUT_OF_MEMORY } from '../../../src/backends/cuda/driver.ts'
import { nodeParameters } from '../../../src/backends/cuda/launch_memory.ts'
import { TAKES_TIME } from '../../../src/backends/cuda/stopwatch.ts'
import { NON_BLOCKING } from '../../../src/backends/cuda/stream.ts'
import type { ForeignType } from '../../../src/platform/platform.ts'

/** Where toolkits are installed. */
function findHeaders(): string | null {
  const toolkits = existsSync('/usr/local')
    ? readdirSync('/usr/local').filter((name) => name.startsWith('cuda'))
    : []
  const folders = [...toolkits.map((name) => `/usr/local/${name}/include`), '/usr/include']
  return folders.find((folder) => existsSync(join(folder, 'cuda.h'))) ?? null
}

const headers = findHeaders()
const noCompiler = await whyMissing('g++')
const missing =
  noCompiler ?? (headers === null ? 'no cuda.h in /usr/local/cuda*/include or /usr/include' : null)

/** What is said to the driver. */
interface Spoken {
  readonly calls: Readonly<Record<string, readonly ForeignType[]>>
  readonly node: { readonly bytes: number; readonly offsets: Readonly<Record<string, number>> }
  readonly numbers: Readonly<Record<string, number>>
}

const spoken: Spoken = {
  calls,
  node: nodeParameters,
  numbers: {
    CU_STREAM_NON_BLOCKING: NON_BLOCKING,
    CU_EVENT_DEFAULT: TAKES_TIME,
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: DYNAMIC_SHARED_BYTES,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: CAPABILITY_MAJOR,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: CAPABILITY_MINOR,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: MOST_SHARED,
    CUDA_SUCCESS: 0,
    CUDA_ERROR_OUT_OF_MEMORY: OUT_OF_MEMORY,
    CUDA_ERROR_NO_DEVICE: NO_DEVICE,
  },
}

/** Results that the emulator gives, by its names. */
const emulated = [
  'INVALID_VALUE',
  'OUT_OF_MEMORY',
  'NOT_INITIALIZED',
  'INVALID_IMAGE',
  'INVALID_CONTEXT',
  'NO_BINARY_FOR_GPU',
  'INVALID_HANDLE',
  'NOT_FOUND',
  'NOT_READY',
  'ILLEGAL_ADDRESS',
  'LAUNCH_FAILED',
]

/** A program that compiles only if all of it is what the header says. */
function questions({ calls, node, numbers }: Spoken): string {
  const say = (claim: string, name: string): string => `static_assert(${claim}, "${name}");`
  return [
    // Every version of every call under its own name.
    '#define __CUDA_API_VERSION_INTERNAL',
    '#include <cuda.h>',
    '#include <cstddef>',
    '#include <type_traits>',
    '#include "state.h"',
    `template <typename T> constexpr bool is_memory = std::is_pointer_v<T>;
template <typename T> constexpr bool is_number = std::is_integral_v<T> || std::is_enum_v<T>;
template <typename T> constexpr bool is_u64 = (std::is_pointer_v<T> || is_number<T>) && sizeof(T) == 8;
template <typename T> constexpr bool is_u32 = is_number<T> && sizeof(T) <= 4 && (std::is_enum_v<T> || std::is_unsigned_v<T>);
template <typename T> constexpr bool is_i32 = is_number<T> && sizeof(T) == 4 && (std::is_enum_v<T> || std::is_signed_v<T>);
template <typename F> struct Call;
template <typename... Args> struct Call<CUresult(Args...)> {
  static constexpr std::size_t count = sizeof...(Args);
  template <std::size_t i> using At = std::tuple_element_t<i, std::tuple<Args...>>;
};`,
    ...Object.entries(calls).flatMap(([name, types]) => [
      say(`Call<decltype(${name})>::count == ${types.length}`, `${name} arguments`),
      ...types.map((type, i) =>
        say(`is_${type}<Call<decltype(${name})>::At<${i}>>`, `${name} argument ${i}`),
      ),
    ]),
    say(`sizeof(CUDA_KERNEL_NODE_PARAMS_v2) == ${node.bytes}`, 'bytes of a node'),
    ...Object.entries(node.offsets).map(([field, offset]) =>
      say(`offsetof(CUDA_KERNEL_NODE_PARAMS_v2, ${field}) == ${offset}`, `place of ${field}`),
    ),
    ...Object.entries(numbers).map(([name, value]) => say(`${name} == ${value}`, name)),
    ...emulated.map((name) => say(`(int)emulator::${name} == (int)CUDA_ERROR_${name}`, name)),
  ].join('\n')
}

/** The header agrees with what is said. @throws Error with what the compiler says */
async function isWhatTheHeaderSays(claims: Spoken): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-header-'))
  try {
    writeFileSync(join(folder, 'questions.cpp'), `#include <tuple>\n${questions(claims)}\n`)
    const places = ['-I', String(headers), '-I', join(root, 'cuda/emulator')]
    await compile('g++', ['-std=c++17', '-fsyntax-only', ...places, 'questions.cpp'], folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe.skipIf(missing !== null)(
  `beside cuda.h${missing === null ? '' : `, which is not here: ${missing}`}`,
  () => {
    test('structures, call arguments and constants are those of the header', () =>
      isWhatTheHeaderSays(spoken))

    const { node, numbers } = spoken
    test.each<{ bug: string; claims: Spoken }>([
      {
        bug: 'place of sharedMemBytes',
        claims: { ...spoken, node: { ...node, offsets: { ...node.offsets, sharedMemBytes: 36 } } },
      },
      { bug: 'bytes of a node', claims: { ...spoken, node: { ...node, bytes: 56 } } },
      { bug: 'CU_EVENT_DEFAULT', claims: { ...spoken, numbers: { ...numbers, CU_EVENT_DEFAULT: 2 } } },
      {
        bug: 'cuEventElapsedTime argument 0',
        claims: { ...spoken, calls: { ...calls, cuEventElapsedTime: ['u32', 'u64', 'u64'] } },
      },
      { bug: 'cuGraphLaunch arguments', claims: { ...spoken, calls: { ...calls, cuGraphLaunch: ['u64'] } } },
    ])('a mutant with another $bug: killed', async ({ bug, claims }) => {
      await expect(isWhatTheHeaderSays(claims)).rejects.toThrow(`static assertion failed: ${bug}`)
    })
  },
)
