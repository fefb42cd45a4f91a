/**
 * The architecture rules. Each is a function from sources to a list of violations, one line each (`path:line: fault`).
 * `architecture.spec.ts` applies them to src/ and to planted violations.
 */
import { builtinModules } from 'node:module'
import { posix } from 'node:path'
import { freeNames } from './scopes.ts'
import { type Module, type Node, place, type Source, walk } from './syntax.ts'

/** The modules of src/ in order: a module imports itself and modules before it. */
const moduleNames = [
  'platform',
  'tensor',
  'ops',
  'spec',
  'io',
  'backends',
  'masks',
  'engine',
  'criteria',
  'compensation',
  'planners',
  'predictor',
  'training',
  'testing',
  'results',
  'data',
  'jobs',
  'cost',
  'calibration',
  'evaluation',
  'parity',
  'bench',
  'experiments',
  'verify',
  'library',
  'server',
  'cli',
  'web',
]

interface Import {
  /** What is written between the quotes; null where it is not a literal. */
  specifier: string | null
  /** The file it names, as a path from the root; null for a package. */
  target: string | null
  at: string
}

const importsByModule = new WeakMap<Module, readonly Import[]>()

/** Everything a module imports: statically, dynamically, as a type, or to export it again. */
export function importsOf(module: Module): readonly Import[] {
  const known = importsByModule.get(module) ?? findImports(module)
  importsByModule.set(module, known)
  return known
}

function findImports(module: Module): Import[] {
  const found: Import[] = []
  const add = (node: Node, literal: Node | null): void => {
    const value = literal?.type === 'Literal' ? literal.value : null
    const specifier = typeof value === 'string' ? value : null
    const target = specifier?.startsWith('.') ? posix.join(posix.dirname(module.path), specifier) : null
    found.push({ specifier, target, at: place(module, node.start) })
  }
  for (const statement of module.body) {
    walk(statement, (node) => {
      if (/^(Import|ExportAll|ExportNamed)Declaration$/.test(node.type)) {
        if (node.source) add(node, node.source as Node)
      } else if (node.type === 'ImportExpression' || node.type === 'TSImportType') {
        add(node, node.source as Node)
      }
    })
  }
  return found
}

/** The module of a file of src/; null if it is in none. */
export function moduleOf(path: string): string | null {
  const [, name, ...rest] = path.split('/')
  return rest.length > 0 && moduleNames.includes(name) ? name : null
}

/** Every file is in a module, and a module imports only modules before it. cli and web do not import each other. */
export function importsGoOneWay(modules: readonly Module[]): string[] {
  return modules.flatMap((module) => {
    const own = moduleOf(module.path)
    if (own === null) return [`${module.path}:1: in none of the modules ${moduleNames.join(', ')}`]
    return importsOf(module).flatMap(({ target, at }) => {
      // package.json is data and belongs to no module.
      if (target === null || target === 'package.json') return []
      const other = moduleOf(target)
      const apart = own === 'web' && other === 'cli'
      const allowed = other !== null && moduleNames.indexOf(other) <= moduleNames.indexOf(own) && !apart
      return allowed ? [] : [`${at}: ${own} imports ${other ?? target}`]
    })
  })
}

/** What tells the layers of families apart, in a configuration. */
const features = ['preNorm', 'finalNorm', 'gated', 'biases', 'rotary', 'activation']
/** Those whose names mean other things elsewhere: they count where a configuration is asked. */
const ambiguous = ['biases', 'rotary', 'activation']

/** The files outside the definitions that ask for a feature of a family: by a member, or by taking it out of an object. */
export function filesThatAskForFeatures(modules: readonly Module[]): string[] {
  const nameOf = (node: Node | null): string => (node?.type === 'Identifier' ? (node.name as string) : '')
  const asks = (module: Module): boolean => {
    let found = false
    const visit = (node: Node): void => {
      if (node.type === 'MemberExpression') {
        const name = nameOf(node.property as Node)
        const isConfig = ['config', 'model', 'llama'].includes(nameOf(node.object as Node))
        found ||= features.includes(name) && (isConfig || !ambiguous.includes(name))
      }
      if (node.type === 'ObjectPattern')
        for (const { key } of node.properties as { key?: Node }[]) {
          const name = nameOf(key ?? null)
          found ||= features.includes(name) && !ambiguous.includes(name)
        }
    }
    for (const statement of module.body) walk(statement, visit)
    return found
  }
  return modules
    .filter(({ path }) => !/^src\/(spec|ops|verify\/ops)\//.test(path))
    .filter(asks)
    .map(({ path }) => path)
}

/** The specification is made of definitions: it imports operations and numbers, and the arrays they stand in. */
export function specificationIsPlain(modules: readonly Module[]): string[] {
  return modules
    .filter(({ path }) => moduleOf(path) === 'spec')
    .flatMap(importsOf)
    .filter(({ specifier, target }) =>
      target === null ? specifier !== 'ndarray' : !['spec', 'ops', 'tensor'].includes(moduleOf(target) ?? ''),
    )
    .map(({ specifier, at }) => `${at}: the specification imports ${specifier}`)
}

/** The library runs and plans models; it imports nothing that measures them. `eval.ts` is the entry to that. */
export function libraryKnowsNoEvaluation(modules: readonly Module[]): string[] {
  const measuring = ['evaluation', 'parity', 'bench', 'experiments']
  return modules
    .filter(({ path }) => moduleOf(path) === 'library' && path !== 'src/library/eval.ts')
    .flatMap(importsOf)
    .filter(({ target }) => target !== null && measuring.includes(moduleOf(target) ?? ''))
    .map(({ target, at }) => `${at}: the library imports ${target}`)
}

/** The engine takes tensors by name and knows no file format. */
export function engineKnowsNoFiles(modules: readonly Module[]): string[] {
  return modules.flatMap((module) =>
    moduleOf(module.path) !== 'engine'
      ? []
      : importsOf(module)
          .filter(({ target }) => target !== null && moduleOf(target) === 'io')
          .map(({ target, at }) => `${at}: engine imports ${target}`),
  )
}

/** A concrete backend (a folder of src/backends, or reference.ts) is named only by itself and by select.ts. */
export function backendsAreChosenInOnePlace(modules: readonly Module[]): string[] {
  return modules.flatMap((module) =>
    importsOf(module).flatMap(({ target, at }) => {
      const backend = target === null ? null : concreteBackend(target)
      const allowed =
        backend === null ||
        backend === concreteBackend(module.path) ||
        module.path === 'src/backends/select.ts'
      return allowed ? [] : [`${at}: the ${backend} backend is named outside src/backends/select.ts`]
    }),
  )
}

function concreteBackend(path: string): string | null {
  return /^src\/backends\/(?:(reference)\.ts$|([^/]+)\/)/.exec(path)?.slice(1).find(Boolean) ?? null
}

const hostNames = ['process', 'Deno', 'window', 'document']

/** Only src/platform names the host: Node's modules, and the globals of Node, Deno and the page. */
export function onlyPlatformNamesTheHost(modules: readonly Module[]): string[] {
  return modules
    .filter(({ path }) => moduleOf(path) !== 'platform')
    .flatMap((module) => [
      ...importsOf(module)
        .filter(({ specifier }) => specifier?.startsWith('node:') || builtinModules.includes(specifier ?? ''))
        .map(({ specifier, at }) => `${at}: ${specifier} is imported outside src/platform`),
      ...hostNamesIn(module).map(
        (node) => `${place(module, node.start)}: a name of the host outside src/platform`,
      ),
    ])
}

/** Where a module uses a name of the host: free, or as a member of globalThis. */
function hostNamesIn(module: Module): Node[] {
  const found = freeNames(module, hostNames)
  for (const statement of module.body) {
    walk(statement, (node) => {
      if (node.type !== 'MemberExpression' || (node.object as Node).name !== 'globalThis') return
      const property = node.property as Node
      if (hostNames.includes((node.computed ? property.value : property.name) as string)) found.push(node)
    })
  }
  return found
}

/** The file that shows all that is printed. */
const terminal = 'src/cli/terminal.ts'
/** The files that know the streams of the process: the last one shows a prompt and the keys that are pressed. */
const streamFiles = [terminal, 'src/platform/platform.ts', 'src/platform/lines.ts']
/** Names of streams, and what writes to them unasked. */
const printing = (
  'stdout stderr console emitWarning _rawDebug debuglog writeSync inherit node:console node:tty ' +
  '/dev/stdout /dev/stderr /dev/tty /dev/fd/1 /dev/fd/2'
).split(' ')

/**
 * Only the terminal of the command line prints, so that no text goes around its spelling, and a closed pipe and a full disk have
 * the same effect in all commands: no other file imports the platform's `write`, or can reach it through the whole of the
 * platform, or names a stream or the console.
 */
export function onlyTheTerminalPrints(modules: readonly Module[]): string[] {
  return modules.flatMap((module) => {
    const found: Node[] = []
    const isInPlatform = moduleOf(module.path) === 'platform'
    const visit = (node: Node): void => {
      const word = node.type === 'Identifier' ? node.name : node.type === 'Literal' ? node.value : null
      if (!streamFiles.includes(module.path) && printing.includes(word as string)) found.push(node)
      if (!isInPlatform && module.path !== terminal && takesWrite(module.path, node)) found.push(node)
    }
    for (const statement of module.body) walk(statement, visit)
    return [...new Set(found.map((node) => `${place(module, node.start)}: prints outside ${terminal}`))]
  })
}

/** Whether a node imports the platform's `write`, by its name or among all others. */
function takesWrite(path: string, node: Node): boolean {
  const source = (node.source as Node | null | undefined)?.value
  if (typeof source !== 'string' || posix.join(posix.dirname(path), source) !== 'src/platform/platform.ts')
    return false
  if (/^(ImportExpression|ExportAllDeclaration)$/.test(node.type)) return true
  const specifiers = (node.specifiers ?? []) as Node[]
  return specifiers.some(
    (specifier) =>
      specifier.type === 'ImportNamespaceSpecifier' ||
      [specifier.imported, specifier.local].some((name) => nameIn(name as Node | undefined) === 'write'),
  )
}

/** A name that is imported or exported, also where it is written as a string. */
function nameIn(node: Node | undefined): unknown {
  return node?.type === 'Literal' ? node.value : node?.name
}

/** `import(...)` takes a literal: nothing that was read as data decides what code runs. */
export function importsAreLiterals(modules: readonly Module[]): string[] {
  return modules.flatMap((module) =>
    importsOf(module)
      .filter(({ specifier }) => specifier === null)
      .map(({ at }) => `${at}: an import that is not a literal`),
  )
}

/** src/ imports only what an installation without the tools for developing has. */
export function packagesAreDependencies(
  modules: readonly Module[],
  dependencies: readonly string[],
): string[] {
  return modules.flatMap((module) =>
    importsOf(module)
      .filter(
        ({ specifier, target }) => specifier !== null && target === null && !specifier.startsWith('node:'),
      )
      .filter(
        ({ specifier }) =>
          !dependencies.some((name) => specifier === name || specifier?.startsWith(`${name}/`)),
      )
      .map(({ specifier, at }) => `${at}: ${specifier} is not among the dependencies of package.json`),
  )
}

/** No file imports itself, directly or through others, types included. */
export function noCycles(modules: readonly Module[]): string[] {
  const edges = new Map(modules.map((module) => [module.path, importsOf(module).map(({ target }) => target)]))
  const done = new Set<string>()
  const found: string[] = []
  const visit = (path: string, trail: string[]): void => {
    const start = trail.indexOf(path)
    if (start >= 0) found.push(`${path}:1: a cycle of imports: ${[...trail.slice(start), path].join(' -> ')}`)
    if (start >= 0 || done.has(path)) return
    for (const target of edges.get(path) ?? []) if (target !== null) visit(target, [...trail, path])
    done.add(path)
  }
  for (const path of edges.keys()) visit(path, [])
  return found
}

/** Every function, class and interface a file exports has a docstring of its own right before it. */
export function exportsAreDocumented(modules: readonly Module[]): string[] {
  return modules.flatMap((module) => {
    const documented = new Set<string>()
    const missing = new Map<string, Node>()
    for (const { name, statement } of exportedStatements(module)) {
      // One docstring serves all overloads of a function.
      if (hasDocstring(module, statement)) documented.add(name)
      else if (!missing.has(name)) missing.set(name, statement)
    }
    return [...missing]
      .filter(([name]) => !documented.has(name))
      .map(
        ([name, statement]) => `${place(module, statement.start)}: ${name} is exported without a docstring`,
      )
  })
}

const documentedKinds =
  /^(Function|Class|TSInterface)Declaration$|^TSDeclareFunction$|^(ArrowFunction|Function|Class)Expression$/

/** The exported functions, classes and interfaces, with the statement a docstring must precede. */
function exportedStatements(module: Module): { name: string; statement: Node }[] {
  const declared = module.body.flatMap((statement) => {
    const exported = /^Export(Named|Default)Declaration$/.test(statement.type)
    const declaration = (exported ? statement.declaration : statement) as Node | null
    return declaration ? namesDeclared(declaration).map((name) => ({ name, statement, exported })) : []
  })
  const listed = new Set(
    module.body
      .filter((statement) => statement.type === 'ExportNamedDeclaration' && !statement.source)
      .flatMap((statement) => statement.specifiers as Node[])
      .map((specifier) => (specifier.local as Node).name as string),
  )
  return declared.filter(({ name, exported }) => exported || listed.has(name))
}

/** The names a declaration gives to functions, classes and interfaces, arrow functions in constants included. */
function namesDeclared(declaration: Node): string[] {
  if (documentedKinds.test(declaration.type))
    return [((declaration.id as Node | null)?.name as string) ?? 'default']
  if (declaration.type !== 'VariableDeclaration') return []
  return (declaration.declarations as Node[])
    .filter(({ init }) => init && documentedKinds.test((init as Node).type))
    .map(({ id }) => (id as Node).name as string)
}

function hasDocstring({ text, comments }: Module, statement: Node): boolean {
  const before = comments.findLast(({ end }) => end <= statement.start)
  if (before?.type !== 'Block' || !before.value.startsWith('*')) return false
  // The comment that opens the file speaks for the file.
  return opening(text) !== before.start && text.slice(before.end, statement.start).trim() === ''
}

/** Where a file's first word is, after a line for the shell if there is one. */
function opening(text: string): number {
  return /^(#!.*\n)?\s*/.exec(text)?.[0].length ?? 0
}

/** A file opens with a block comment: what it is, its invariants, what it does not do. */
export function filesOpenWithAComment(sources: readonly Source[]): string[] {
  return sources
    .filter(({ text }) => !text.startsWith('/*', opening(text)))
    .map(({ path }) => `${path}:1: does not open with a block comment`)
}
