/**
 * What the laws of cuda/certify need: the program compiled, bundles made for a law, and libraries that stand in for a driver
 * or for cuBLAS.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { encodeBundle, readBundle } from '../../scripts/cuda/certify/bundle.ts'
import { ProgramWriter } from '../../scripts/cuda/certify/program.ts'
import { emulatorPath, whyNoEmulator } from '../../scripts/cuda/emulator.ts'
import { modulePath } from '../../scripts/cuda/module.ts'
import { root } from '../../scripts/sources.ts'
import { compile } from '../../scripts/tool.ts'
import { onceInThisRun } from '../harness/once.ts'

/** How a program ended, and what it said. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end. */
export function runProgram(program: string, args: readonly string[], cwd: string = root): Ended {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', maxBuffer: 2 ** 26 })
  return { code: status, stdout, stderr }
}

/** Where a suite finds the program, which a run compiles once, and keeps its files. */
export interface Workshop {
  readonly folder: string
  readonly program: string
  /** A name for a file that is not there yet. */
  fresh(ending: string): string
  /** The path of a file with these bytes. */
  fileOf(bytes: Uint8Array | string, ending?: string): string
  /** Runs the program on the committed bundle over the emulator, unless flags say otherwise: the last of a flag counts. */
  certify(...more: string[]): Ended
}

/** Opens a workshop before the tests of a chapter and closes it after them. */
export function workshop(): Workshop {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-certify-'))
  const program = join(folder, 'certify')
  const bundle = join(folder, 'certify.safetensors')
  let files = 0
  const fresh = (ending: string): string => join(folder, `${files++}${ending}`)
  beforeAll(async () => {
    writeFileSync(bundle, readBundle())
    if ((await whyNoEmulator()) === null) copyFileSync(await compiledCertify(), program)
  }, 240_000)
  afterAll(() => rmSync(folder, { recursive: true }))
  return {
    folder,
    program,
    fresh,
    fileOf: (bytes, ending = '') => {
      const path = fresh(ending)
      writeFileSync(path, bytes)
      return path
    },
    certify: (...more) => {
      const usual = ['--bundle', bundle, '--kernels', modulePath, '--driver', emulatorPath()]
      return runProgram(program, [...usual, ...more])
    },
  }
}

/** The path of cuda/certify, compiled as its script does, every warning an error. @throws Error with what g++ said */
async function compiledCertify(): Promise<string> {
  const program = (folder: string): string => join(folder, 'certify')
  const made = await onceInThisRun('cuda-certify', async (folder) => {
    const flags = ['-std=c++17', '-O1', '-ffp-contract=off', '-Wall', '-Wextra', '-Werror']
    const output = ['-o', program(folder), 'cuda/certify/certify.cpp', '-ldl', '-pthread']
    await compile('g++', [...flags, ...output], root)
  })
  return program(made)
}

/** A source of C++ as a library; gives its path, `name` with an ending. */
export async function compileLibrary(name: string, source: string): Promise<string> {
  writeFileSync(`${name}.cpp`, source)
  await compile('g++', ['-std=c++17', '-O1', '-shared', '-fPIC', '-o', `${name}.so`, `${name}.cpp`], root)
  return `${name}.so`
}

/** A bundle for the committed module that holds what `add` writes. */
export function bundleOf(add: (program: ProgramWriter) => void): Promise<Uint8Array> {
  const program = new ProgramWriter()
  add(program)
  return encodeBundle(program, readFileSync(modulePath, 'utf8'))
}

/** The calls that a driver must have. */
const calls =
  'cuInit cuDeviceGetCount cuDeviceGet cuDeviceGetName cuDevicePrimaryCtxRetain cuDevicePrimaryCtxRelease_v2 ' +
  'cuCtxSetCurrent cuModuleLoadData cuModuleUnload cuModuleGetFunction cuFuncSetAttribute cuMemAlloc_v2 cuMemFree_v2 ' +
  'cuStreamCreate cuStreamSynchronize cuStreamDestroy_v2 cuMemcpyHtoDAsync_v2 cuMemcpyDtoHAsync_v2 cuMemsetD8Async cuLaunchKernel cuGetErrorName cuGetErrorString'

/** A driver that finds no device: every call says so. */
export const noDevice: string = calls
  .split(' ')
  .map((name) => `extern "C" int ${name}() { return 100; }\n`)
  .join('')

/** cuBLAS by its manual, in plain loops: C = alpha op(A) op(B) + beta C, column-major, on memory of the emulator. */
export const plainCublas = `
#include <cmath>
#include <cstdint>
static float widen(uint16_t h) {
  const int e = h >> 10 & 31;
  const float size = e == 0 ? std::ldexp((float)(h & 1023), -24) : std::ldexp(1024.0f + (h & 1023), e - 25);
  return h >> 15 ? -size : size;
}
static uint16_t narrow(float x) {
  uint16_t best = 0;
  float error = INFINITY;
  for (uint32_t h = 0; h < 0x10000; h++)
    if ((h >> 10 & 31) < 31 && std::fabs(widen(h) - x) < error) error = std::fabs(widen(h) - x), best = h;
  return best;
}
extern "C" int cublasCreate_v2(void **handle) { *handle = handle; return 0; }
extern "C" int cublasSetStream_v2(void *, void *stream) { return stream == nullptr; }
extern "C" int cublasDestroy_v2(void *) { return 0; }
extern "C" int cublasGemmEx(void *, int opA, int opB, int m, int n, int k, const float *alpha, const uint16_t *a, int kindA,
                            int lda, const uint16_t *b, int kindB, int ldb, const float *beta, uint16_t *c, int kindC, int ldc,
                            int compute, int) {
  if (kindA != 2 || kindB != 2 || kindC != 2 || compute != 68 || opB != 0) return 7;
  if (lda < (opA ? k : m) || ldb < k || ldc < m) return 7;
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      float sum = 0;
      for (int l = 0; l < k; l++) sum += widen(opA ? a[l + i * lda] : a[i + l * lda]) * widen(b[l + j * ldb]);
      c[i + j * ldc] = narrow(*alpha * sum + (*beta == 0 ? 0 : *beta * widen(c[i + j * ldc])));
    }
  return 0;
}
`

/** Reads a bundle cut anywhere and with any byte changed, then with changed bytes and a right hash again. */
export const hostileReader = `
#include "cuda/certify/program.hpp"
#include <cstdio>
#include <cstdlib>
using namespace certify;
static std::string scratch;
static const KernelModule *kernels;
// 1 if it was read, 0 if it was refused in one line.
static int isRead(const std::string &bytes) {
  std::ofstream(scratch, std::ios::binary | std::ios::trunc) << bytes;
  std::string what;
  try {
    const Bundle bundle(scratch);
    ProgramReader(bundle, *kernels).read();
    return 1;
  } catch (const safetensors::Error &error) {
    what = error.what();
  } catch (const Error &error) {
    if (error.code != REFUSED) std::printf("another exit code: %d\\n", error.code), std::exit(1);
    what = error.what();
  }
  if (what.empty() || what.find(": expected ") == std::string::npos) std::printf("no reason: %s\\n", what.c_str()), std::exit(1);
  return 0;
}
static void seal(std::string &bytes) {
  const size_t place = bytes.find("\\"sha256\\":\\"") + 10;
  bytes.replace(place, 64, 64, '0');
  const std::string hash = sha256(bytes);
  bytes.replace(place, 64, hash);
}
int main(int, char **argv) {
  const std::string good = readText(argv[1]);
  const KernelModule module(argv[2]);
  kernels = &module;
  scratch = argv[3];
  std::srand(std::atoi(argv[4]));
  const int runs = std::atoi(argv[5]);
  const size_t data = good.find("set exact");
  int cut = 0, changed = 0, sealed = 0;
  for (size_t length = 0; length < good.size(); length++) cut += isRead(good.substr(0, length));
  for (size_t at = 0; at < good.size(); at++) {
    std::string bytes = good;
    bytes[at] = (char)(bytes[at] ^ (1 << std::rand() % 8));
    changed += isRead(bytes);
  }
  for (int i = 0; i < runs; i++) {
    std::string bytes = good;
    const size_t hash = bytes.find("\\"sha256\\":\\"") + 10;
    for (int edits = 1 + std::rand() % 3; edits > 0; edits--) {
      // Most of them in the program, where a line is cut, repeated or has other words.
      const size_t at = std::rand() % 4 ? data + std::rand() % (bytes.size() - data) : std::rand() % bytes.size();
      if (at >= hash - 40 && at < hash + 64) continue;
      bytes[at] = "0123456789 @#~-+\\nabcxyz\\xff"[std::rand() % 25];
    }
    seal(bytes);
    sealed += isRead(bytes);
  }
  std::printf("%d %d %d\\n", cut, changed, sealed);
}
`
