/**
 * Runs the examples of documents and returns their faults.
 *
 * TypeScript examples become files in a folder under build/, inside this package, so that `shadowllm` resolves to the sources
 * of the package (by a condition in `exports` of package.json), for the compiler and for Node. All are type-checked together, and
 * run one after the other in one process, which must end by itself; each of the others has a process of its own.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Example } from './documents.ts'
import { root } from './syntax.ts'

const timeout = 300_000

interface Result {
  ok: boolean
  stdout: string
  /** Both outputs, for reports. */
  output: string
}

function run(command: string, args: string[]): Promise<Result> {
  const env = { ...process.env, NO_COLOR: '1', SHADOWLLM_NODE: process.execPath }
  return new Promise((resolve) => {
    execFile(command, args, { cwd: root, env, timeout, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      const late = error?.killed ? `stopped after ${timeout / 1000} s\n` : ''
      resolve({ ok: error === null, stdout, output: stdout + stderr + late })
    })
  })
}

/** Runs what these examples say may be run. Empty if all hold. */
export function runExamples(examples: readonly Example[]): Promise<string[]> {
  return inFolder(async (folder) => {
    writeModules(examples, folder)
    const chosen = [...examples.entries()].filter(([, { run }]) => run)
    const faults = await runPrograms(
      chosen.filter(([, { language }]) => language === 'ts'),
      folder,
    )
    for (const [, example] of chosen)
      if (example.language !== 'ts') faults.push(...(await runCommands(example)))
    return faults
  })
}

type Numbered = readonly [index: number, example: Example]

/** Type-checks these examples without running them. Empty if all are right. */
export function typeCheckExamples(examples: readonly Example[]): Promise<string[]> {
  return inFolder((folder) => typeCheck(examples, folder))
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  mkdirSync(join(root, 'build'), { recursive: true })
  const folder = mkdtempSync(join(root, 'build', 'examples-'))
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function exampleFile(folder: string, index: number): string {
  // In the order of the examples, in which the compiler reports.
  return join(folder, `example_${String(index).padStart(4, '0')}.ts`)
}

/** Makes a file of each example in TypeScript. @returns whether there is any */
function writeModules(examples: readonly Example[], folder: string): boolean {
  let any = false
  for (const [index, { language, code }] of examples.entries()) {
    if (language !== 'ts') continue
    any = true
    // An example is a module even where it imports nothing, so that names of two examples never meet.
    writeFileSync(exampleFile(folder, index), `${code}\nexport {}\n`)
  }
  return any
}

async function typeCheck(examples: readonly Example[], folder: string): Promise<string[]> {
  if (!writeModules(examples, folder)) return []
  const config = {
    extends: join(root, 'tsconfig.json'),
    // As strict as `tsc --init` of TypeScript 7 makes a project of a reader's. The sources are not: what is said of them is left out.
    compilerOptions: {
      noUnusedLocals: false,
      noUnusedParameters: false,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
    },
    include: ['*.ts'],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { ok, output } = await run(process.execPath, [tsc, '--project', folder, '--pretty', 'false'])
  if (ok) return []
  const named = output.replace(
    /^\S*?example_(\d+)\.ts\((\d+),\d+\)/gm,
    (_, i, line) => `${examples[Number(i)].at} +${line}`,
  )
  // The further lines of an error are indented.
  return named
    .split(/\n(?=\S)/)
    .filter((error) => !/^\S+\.ts\(/.test(error))
    .map((error) => error.trimEnd())
}

/** What comes before the output of each program, and before what one threw. */
const [BEGINS, THREW] = ['\u{1}', '\u{2}']

/** Runs programs one after the other in a process: most of what each takes is the loading of the modules that all share. */
async function runPrograms(programs: readonly Numbered[], folder: string): Promise<string[]> {
  if (programs.length === 0) return []
  const all = join(folder, 'all.mjs')
  const files = programs.map(([index]) => exampleFile(folder, index))
  const lines = [
    `for (const file of ${JSON.stringify(files)}) {`,
    `  process.stdout.write(${JSON.stringify(BEGINS)})`,
    `  await import(file).catch((error) => process.stdout.write(${JSON.stringify(THREW)} + error.stack))`,
    '}',
  ]
  writeFileSync(all, lines.join('\n'))
  const { ok, stdout, output } = await run(process.execPath, ['--conditions=@shadowllm/source', all])
  const outputs = stdout.split(BEGINS).slice(1)
  const faults = outputs.flatMap((text, i) => {
    const [, example] = programs[i]
    const [printed, threw] = text.split(THREW)
    return threw === undefined
      ? outputFaults(example, printed)
      : [`${example.at}: the example failed\n${threw.trimEnd()}`]
  })
  if (ok) return faults
  const [, last] = programs[Math.max(0, outputs.length - 1)]
  return [...faults, `${last.at}: the example failed, or those before it do not end\n${output.trimEnd()}`]
}

async function runCommands(example: Example): Promise<string[]> {
  const shadowllm = 'shadowllm() { "$SHADOWLLM_NODE" src/cli/main.ts "$@"; }'
  const { ok, stdout, output } = await run('bash', [
    '-euo',
    'pipefail',
    '-c',
    `${shadowllm}\n${example.code}`,
  ])
  if (!ok) return [`${example.at}: the example failed\n${output.trimEnd()}`]
  return outputFaults(example, stdout)
}

/** What is wrong with what an example printed. */
export function outputFaults({ at, output }: Example, stdout: string): string[] {
  if (output === null || matches(stdout, output)) return []
  return [`${at}: expected the output\n${output.trimEnd()}\ngot\n${stdout.trimEnd()}`]
}

/**
 * The arguments of each `shadowllm` command line of a shell example. Null if the example has anything else, or needs a shell.
 */
export function commandLinesOf({ language, code }: Example): string[][] | null {
  if (language !== 'sh') return null
  const lines = code.trim().split('\n')
  const words = lines.map((line) => [...line.matchAll(/"([^"$`\\]*)"|([\w.,:/@=-]+)/g)])
  const isPlain = lines.every((line, i) => {
    const read = words[i].map(([whole]) => whole).join(' ')
    return read.startsWith('shadowllm ') && read === line.trim()
  })
  return isPlain ? words.map((line) => line.slice(1).map(([, quoted, bare]) => quoted ?? bare)) : null
}

/** Whether a text is the expected one, line by line; a line `...` stands for any number of lines. */
export function matches(text: string, expected: string): boolean {
  return linesMatch(linesOf(text), linesOf(expected))
}

function linesOf(text: string): string[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd())
}

function linesMatch(lines: readonly string[], expected: readonly string[]): boolean {
  if (expected.length === 0) return lines.length === 0
  const [first, ...rest] = expected
  if (first !== '...') return lines[0] === first && linesMatch(lines.slice(1), rest)
  return Array.from({ length: lines.length + 1 }, (_, skipped) => skipped).some((skipped) =>
    linesMatch(lines.slice(skipped), rest),
  )
}
