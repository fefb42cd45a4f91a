/**
 * What must hold of a packed package, each as a function from its contents to the list of faults, one line each.
 */
import { posix } from 'node:path'
import { importsOf } from '../harness/architecture.ts'
import { parseModule } from '../harness/syntax.ts'

/** What is read of package.json. */
export interface Manifest {
  readonly bin: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly sideEffects: readonly string[]
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly bundleDependencies?: unknown
}

/** Sizes in bytes by path in the package. */
export type Files = ReadonlyMap<string, number>

/** Where packed files may lie. */
const places =
  /^(dist|fixtures\/(predictors|tiny-opt))\/|^(package\.json|README\.md|LICENSE|CHANGELOG\.md|SECURITY\.md)$/

/** Scripts that npm runs by itself where the package is installed. */
const atInstallation = ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish']

/** Packages that carry a Node of their own. */
const runtimes = /^node(-bin)?(-(linux|darwin|win|aix|sunos)\b.*|-setup)?$/

/**
 * Limits: bytes of the archive, nearly all of which is the embedded model and predictors; of all that is neither, most of which
 * are the modules for pages; and of what is installed with its dependencies, and how many packages that is.
 */
export const limits = { archive: 18.55e6, unpacked: 7.95e6, installed: 26.15e6, packages: 15 }

/** Packages that a list of licences names without the text of theirs. @param text parts between lines of dashes */
export function withoutLicence(text: string): string[] {
  const parts = text
    .split(/^-{80}$/m)
    .map((part) => /([^\n]+: [^\n]+)\n\n([^]*)$/.exec(part.trimStart().replace(/^The modules[^\n]*\n\n/, '')))
  return parts.flatMap((part) =>
    part && /\bCopyright\b/i.test(part[2]) ? [] : [part?.[1] ?? 'a part without a name'],
  )
}

/** What package.json names is packed, and nothing that has no place. */
export function namedFilesArePacked({ bin, exports, sideEffects }: Manifest, files: Files): string[] {
  // The sources are for checkouts, which ask for them by this condition.
  const targets = Object.values(exports).flatMap((entry) =>
    typeof entry === 'string'
      ? [entry]
      : Object.entries(entry).flatMap(([name, to]) => (name === '@shadowllm/source' ? [] : [to])),
  )
  return [
    ...[...targets, ...Object.values(bin), ...sideEffects]
      .filter((target) => !files.has(posix.normalize(target)))
      .map((target) => `package.json names ${target}, which is not packed`),
    ...[...files.keys()].filter((path) => !places.test(path)).map((path) => `${path} has no place here`),
  ]
}

/** Installing runs nothing, and brings no Node. */
export function installationIsPlain(manifest: Manifest): string[] {
  const packages = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })
  return [
    ...atInstallation
      .filter((name) => manifest.scripts?.[name] !== undefined)
      .map((name) => `a script runs at installation: ${name}`),
    ...packages.filter((name) => runtimes.test(name)).map((name) => `${name} is a Node`),
    ...(manifest.bundleDependencies === undefined ? [] : ['dependencies are bundled']),
  ]
}

/** The archive and what is in it are no larger than they may be. */
export function sizeIsBounded(archive: number, files: Files): string[] {
  const others = [...files].filter(([path]) => !path.startsWith('fixtures/'))
  const unpacked = others.reduce((sum, [, size]) => sum + size, 0)
  return [
    ...(archive > limits.archive ? [`${archive} bytes packed, expected at most ${limits.archive}`] : []),
    ...(unpacked > limits.unpacked ? [`${unpacked} bytes of code, expected at most ${limits.unpacked}`] : []),
  ]
}

/** What is installed in a project is no larger than it may be. @param installed bytes of each file by its path */
export function installationIsBounded(packages: readonly string[], installed: Files): string[] {
  const bytes = [...installed.values()].reduce((sum, size) => sum + size, 0)
  return [
    ...(packages.length > limits.packages
      ? [`${packages.length} packages installed, expected at most ${limits.packages}: ${packages.join(' ')}`]
      : []),
    ...(bytes > limits.installed ? [`${bytes} bytes installed, expected at most ${limits.installed}`] : []),
  ]
}

/** What a user's checkout may have, and no installed package: named by URL, looked for, and not missed. */
const ofCheckouts = ['cuda/build/libcuda_emulated.so', 'src/']

/** Every module, type and file that a compiled module names is packed, under its compiled name. */
export function namedModulesArePacked(path: string, text: string, files: Files): string[] {
  const imports = importsOf(parseModule({ path, text }))
  const resolve = (specifier: string): string => posix.join(posix.dirname(path), specifier)
  const isHere = (target: string): boolean =>
    target.endsWith('/') ? [...files.keys()].some((file) => file.startsWith(target)) : files.has(target)
  const urls = [...text.matchAll(/new URL\(\s*'(\.{0,2}[^':]+)',\s*import\.meta\.url/g)].map(
    ([, name]) => name,
  )
  return [
    ...imports
      .filter(({ target }) => target !== null && !files.has(target))
      .map(({ specifier }) => `${path} imports ${specifier}, which is not packed`),
    ...urls
      .filter(
        (name) => !isHere(resolve(name)) && !ofCheckouts.includes(resolve(name)) && resolve(name) !== './',
      )
      .map((name) => `${path} names ${name}, which is not packed`),
  ]
}

/** What is read of package-lock.json. */
export interface Lock {
  readonly packages: Readonly<
    Record<
      string,
      { readonly dev?: boolean; readonly devOptional?: boolean; readonly hasInstallScript?: boolean }
    >
  >
}

/** No package that comes with this one has a script that runs at its installation. */
export function dependenciesArePlain({ packages }: Lock): string[] {
  return Object.entries(packages)
    .filter(([, { dev, devOptional, hasInstallScript }]) => hasInstallScript && !dev && !devOptional)
    .map(([place]) => `a script runs at installation: of ${place}`)
}
