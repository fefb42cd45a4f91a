/**
 * A clone of the last commit in which mutants are planted. It is in the folder of temporary files and uses the packages of
 * this checkout. The sources of this checkout are never changed, and an interruption leaves nothing but that folder.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../../spec/harness/syntax.ts'
import { plantMutant, type Mutant } from './derive.ts'

/** How a program ended. */
export interface Ended {
  readonly code: number | null
  readonly output: string
  /** Why it was killed: it wrote nothing for too long, or its time was over. */
  readonly killed: 'silent' | 'late' | null
}

/** Whether a spec file is not of the quick tier. It runs in another process than those of the quick tier. */
export function isFull(spec: string): boolean {
  return spec.endsWith('.full.spec.ts')
}

/** A clone in which mutants are planted. */
export class Checkout {
  readonly commit: string
  readonly folder: string
  readonly #base: string
  #running: ChildProcess | null = null

  constructor() {
    this.#base = mkdtempSync(join(tmpdir(), 'shadowllm-mutants-'))
    this.folder = join(this.#base, 'checkout')
    mkdirSync(join(this.#base, 'temporary'))
    execFileSync('git', ['clone', '--quiet', '--shared', root, this.folder])
    this.commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: this.folder, encoding: 'utf8' }).trim()
    for (const path of ['node_modules', 'docs/node_modules'])
      if (existsSync(join(root, path))) symlinkSync(join(root, path), join(this.folder, path))
  }

  /** Does some work while the mutants, at most one per file, are planted in the sources. */
  async with<T>(mutants: readonly Mutant[], work: () => Promise<T>): Promise<T> {
    const before = mutants.map(({ file }) => readFileSync(join(this.folder, file), 'utf8'))
    try {
      mutants.forEach((mutant, i) =>
        writeFileSync(join(this.folder, mutant.file), plantMutant(before[i], mutant)),
      )
      return await work()
    } finally {
      if (existsSync(this.folder))
        mutants.forEach(({ file }, i) => writeFileSync(join(this.folder, file), before[i]))
    }
  }

  /**
   * Runs a script of a package in the clone. Spec files among its arguments run in their order. The script and its child
   * processes are killed once it has written nothing for `silence` seconds, or has run for `seconds`.
   */
  run(
    script: string,
    args: readonly string[],
    { silence, seconds = Infinity, seed }: { silence: number; seconds?: number; seed: number },
  ): Promise<Ended> {
    const specs = args.filter((arg) => arg.endsWith('.spec.ts'))
    const child = spawn(
      process.execPath,
      ['--conditions=@shadowllm/source', `node_modules/${script}`, ...args],
      {
        cwd: this.folder,
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          ...process.env,
          // With CI set, counterexamples that a mutant caused are not written to fixtures/regressions.
          CI: '1',
          SHADOWLLM_SEED: String(seed),
          SHADOWLLM_ORDER: specs.join(' '),
          SHADOWLLM_TIER: specs.some(isFull) ? 'full' : 'quick',
          TMPDIR: join(this.#base, 'temporary'),
        },
      },
    )
    this.#running = child
    let output = ''
    let killed: Ended['killed'] = null
    const kill = (why: Ended['killed']): void => {
      killed = why
      this.#kill()
    }
    const hang = setTimeout(kill, silence * 1000, 'silent')
    const end = Number.isFinite(seconds) ? setTimeout(kill, seconds * 1000, 'late') : undefined
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text) => {
        output += text
        hang.refresh()
      })
    return new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('exit', () => {
        clearTimeout(hang)
        clearTimeout(end)
        // A child process may have outlived the script.
        this.#kill()
        this.#running = null
      })
      child.on('close', (code) => resolve({ code, output, killed }))
    })
  }

  /** Kills what is running and removes the clone. */
  [Symbol.dispose](): void {
    this.#kill()
    rmSync(this.#base, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }

  #kill(): void {
    const { pid } = this.#running ?? {}
    if (pid === undefined) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}
