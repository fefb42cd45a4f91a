/**
 * The package as a user has it: built, packed, and installed in a clean project outside of this checkout. Once for all
 * specs of a file.
 *
 * The dependencies are those of this project's lock, which `npm ci` has left in npm's cache: the project gets a lock made
 * of it, so that no network is needed. Where the cache has been emptied, npm is let to the registry.
 */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { onceInThisRun } from '../harness/once.ts'
import { root } from '../harness/syntax.ts'

/** What a command did. */
export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A file of the packed package, as npm lists it. */
interface PackedFile {
  readonly path: string
  readonly size: number
}

/** The package, packed. */
interface Packed {
  /** Path of the archive. */
  readonly archive: string
  readonly files: readonly PackedFile[]
  /** Bytes of the archive. */
  readonly size: number
  readonly integrity: string
  readonly version: string
}

/** A clean project with the package installed. */
export interface Project {
  readonly folder: string
  readonly packed: Packed
  /** Runs a command in it, under the Node that runs this. */
  run(command: string, ...args: string[]): Promise<Outcome>
  /** Writes a file of it; returns its path. */
  write(name: string, text: string): Promise<string>
  remove(): Promise<void>
}

/** Runs a command to its end; never rejects. This Node goes before any other of the machine. */
function runIn(cwd: string, command: string, args: readonly string[]): Promise<Outcome> {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    NO_COLOR: '1',
    // npm would keep compiled code among the system's temporary files.
    NODE_DISABLE_COMPILE_CACHE: '1',
    PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`,
  }
  // What a test runner tells its children is nothing that users tell their programs.
  for (const name of ['NODE_OPTIONS', 'VITEST', 'NODE_ENV', 'TEST']) delete env[name]
  return new Promise((resolve) => {
    execFile(command, args, { cwd, env, timeout: 240_000, maxBuffer: 1 << 27 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({
        code,
        stdout,
        stderr: code === 0 ? stderr : `${stderr}${error?.killed ? 'stopped: late' : ''}`,
      })
    })
  })
}

async function expectDone(outcome: Promise<Outcome>, what: string): Promise<Outcome> {
  const done = await outcome
  if (done.code === 0) return done
  throw new Error(`${what}: expected exit code 0, got ${done.code}\n${done.stdout}${done.stderr}`)
}

/** The sources of the package, and the scripts that build it. */
const sources = [
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'LICENSE',
  'README.md',
  'CHANGELOG.md',
  'SECURITY.md',
  'src',
  'fixtures/predictors',
  'fixtures/tiny-opt',
  'scripts/build.ts',
  'scripts/package',
]

/** Builds and packs from a copy of the sources into a folder, so that dist/ is not changed and runs can be parallel. */
async function pack(folder: string): Promise<Packed> {
  const copy = join(folder, 'copy')
  for (const name of sources) await cp(join(root, name), join(copy, name), { recursive: true })
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction')
  await expectDone(runIn(copy, process.execPath, ['scripts/build.ts']), 'build')
  const args = ['scripts/package/pack.ts', '--json', '--pack-destination', folder]
  const { stdout } = await expectDone(runIn(copy, process.execPath, args), 'npm pack')
  await rm(copy, { recursive: true })
  const [listed] = JSON.parse(stdout) as (Packed & { filename: string })[]
  const { filename, files, size, integrity, version } = listed
  return { archive: join(folder, filename), files, size, integrity, version }
}

/** The package as it is published, packed once for all specs of a run. */
export async function packedPackage(): Promise<Packed> {
  const list = 'packed.json'
  const folder = await onceInThisRun('package', async (made) =>
    writeFile(join(made, list), JSON.stringify(await pack(made))),
  )
  return JSON.parse(await readFile(join(folder, list), 'utf8')) as Packed
}

/** Installs the packed package into a new project. */
export async function installProject(): Promise<Project> {
  const folder = await mkdtemp(join(tmpdir(), 'shadowllm-package-'))
  const packed = await packedPackage()
  const manifest = {
    name: 'a-user',
    version: '1.0.0',
    private: true,
    type: 'module',
    dependencies: { shadowllm: `file:${packed.archive}` },
  }
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest))
  await writeFile(join(folder, 'package-lock.json'), JSON.stringify(await lockFor(manifest, packed)))
  const install = ['ci', '--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund']
  const offline = await runIn(folder, 'npm', [...install, '--offline'])
  if (offline.code !== 0) await expectDone(runIn(folder, 'npm', [...install, '--prefer-offline']), 'npm ci')
  return {
    folder,
    packed,
    run: (command, ...args) => runIn(folder, command, args),
    async write(name, text) {
      const path = join(folder, name)
      await writeFile(path, text)
      return path
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

interface LockEntry {
  readonly dev?: boolean
  readonly devOptional?: boolean
  readonly link?: boolean
  readonly peer?: boolean
}

interface Lock {
  readonly lockfileVersion: number
  readonly packages: Readonly<Record<string, LockEntry>>
}

/** The part of this project's lock that a user's installation has. */
async function lockFor(manifest: { name: string; version: string }, packed: Packed): Promise<object> {
  const own = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as Lock
  const about = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Record<string, unknown>
  const others = Object.entries(own.packages).filter(
    ([place, { dev, devOptional, link }]) =>
      place.startsWith('node_modules/') && !dev && !devOptional && !link,
  )
  const { bin, dependencies, engines, peerDependencies, peerDependenciesMeta } = about
  const installed = {
    version: packed.version,
    resolved: `file:${packed.archive}`,
    integrity: packed.integrity,
    bin,
    dependencies,
    engines,
    peerDependencies,
    peerDependenciesMeta,
  }
  return {
    name: manifest.name,
    version: manifest.version,
    lockfileVersion: own.lockfileVersion,
    requires: true,
    packages: { '': manifest, ...Object.fromEntries(others), 'node_modules/shadowllm': installed },
  }
}
