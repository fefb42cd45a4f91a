/**
 * Which exports of the sources other files use. An export that no other file uses is a promise to nobody, and code that tests
 * alone keep alive is dead.
 */
import { posix } from 'node:path'
import { moduleOf } from './architecture.ts'
import { childrenOf, type Module, type Node, place, walk } from './syntax.ts'

/** Stands for every name of a module. */
const ALL = '*'

/** A name that a module uses of another. */
interface Use {
  readonly target: string
  readonly name: string
}

/**
 * Exports that no other file uses and no signature of another exported value names; and functions of src/ that tests alone call.
 * Default exports are for tools, which load a file by its path. The specification is what tests judge others against.
 * @param entries the modules that users of the package import: everything they export is used
 */
export function unusedExports(modules: readonly Module[], entries: readonly string[]): string[] {
  const users = usersOf(modules, entries)
  return modules.flatMap((module) =>
    exportsOf(module).flatMap(({ names, at, isFunction }) => {
      const name = names.join(', ')
      const found = [ALL, ...names].flatMap((used) => [...(users.get(`${module.path} ${used}`) ?? [])])
      if (found.length === 0)
        return isInSignature(module, name) ? [] : [`${at}: ${name} is exported, and no other file uses it`]
      const isTested = isFunction && found.every((path) => path.startsWith('spec/'))
      const isJudged = module.path.startsWith('src/') && moduleOf(module.path) !== 'spec'
      return isTested && isJudged && !isUsedWithin(module, name)
        ? [`${at}: ${name} is used by tests alone`]
        : []
    }),
  )
}

/** The files that use each export: by path and name of the export. */
function usersOf(modules: readonly Module[], entries: readonly string[]): Map<string, Set<string>> {
  const users = new Map<string, Set<string>>()
  const known = new Map(modules.map((module) => [module.path, module]))
  const own = new Map(
    modules.map((module) => [module.path, new Set(exportsOf(module).flatMap(({ names }) => names))]),
  )
  const add = ({ target, name }: Use, user: string): void => {
    for (const file of filesOf(target, known)) addFile({ target: file, name }, user)
  }
  const addFile = ({ target, name }: Use, user: string): void => {
    const module = known.get(target)
    if (!module || target === user) return
    const key = `${target} ${name}`
    const those = users.get(key) ?? new Set()
    if (those.has(user)) return
    users.set(key, those.add(user))
    // What a module does not have itself comes from those that it exports as a whole.
    if (name === ALL || own.get(target)?.has(name) === false)
      for (const whole of wholesOf(module)) addFile({ target: whole, name }, user)
  }
  for (const entry of entries) add({ target: entry, name: ALL }, 'the package')
  for (const module of modules) for (const use of usesOf(module)) add(use, module.path)
  return users
}

// ---- What a module exports -------------------------------------------------------------------------------------------

interface Export {
  /** One, or those that a pattern binds together. */
  readonly names: readonly string[]
  readonly at: string
  readonly isFunction: boolean
}

function exportsOf(module: Module): Export[] {
  return module.body.flatMap((statement) => {
    if (statement.type !== 'ExportNamedDeclaration') return []
    const declaration = statement.declaration as Node | null
    const declared = declaration ? declaredNames(declaration) : []
    const listed = (statement.specifiers as Node[]).map(({ exported }) => [nameOf(exported as Node)])
    const isFunction = /^(Function|Class)/.test(declaration?.type ?? '')
    const at = place(module, statement.start)
    return [...declared, ...listed]
      .filter(([name]) => name !== 'default')
      .map((names) => ({ names, at, isFunction }))
  })
}

function declaredNames(declaration: Node): string[][] {
  if (declaration.type !== 'VariableDeclaration') return [[nameOf(declaration.id as Node)]]
  return (declaration.declarations as Node[]).map(({ id }) => namesIn(id as Node))
}

/** The names that a pattern binds. */
function namesIn(pattern: Node): string[] {
  if (pattern.type === 'Identifier') return [nameOf(pattern)]
  const parts = (pattern.properties ?? pattern.elements ?? []) as (Node | null)[]
  return parts.flatMap((part) =>
    part === null ? [] : namesIn((part.value ?? part.argument ?? part) as Node),
  )
}

/** The modules that a module exports as a whole. */
function wholesOf(module: Module): string[] {
  return module.body.flatMap(({ type, source }) =>
    type === 'ExportAllDeclaration' ? targetsOf(module, source as Node) : [],
  )
}

/** Whether a module uses the name in another place than where it is declared or exported. */
function isUsedWithin(module: Module, name: string): boolean {
  return module.body.some((statement) => {
    let isUsed = false
    walk(statement, (node, parent, key) => {
      if (node.type !== 'Identifier' || node.name !== name || parent?.type === 'ExportSpecifier') return
      const isName = key === 'id' || ((key === 'property' || key === 'key') && !parent?.computed)
      isUsed ||= !isName
    })
    return isUsed
  })
}

/** Whether a type in another exported value names it: of a parameter, a result, a field, or the definition of an op. */
function isInSignature({ body }: Module, name: string): boolean {
  const names = (node: Node, inType: boolean): boolean => {
    if (node.type === 'BlockStatement') return false
    if (inType && node.type === 'Identifier' && node.name === name) return true
    return childrenOf(node).some(([, child]) => names(child, inType || isTypeName(child)))
  }
  const declares = ({ declaration }: Node): boolean =>
    Boolean(declaration) &&
    declaredNames(declaration as Node)
      .flat()
      .includes(name)
  return body.some(
    (statement) =>
      statement.type === 'ExportNamedDeclaration' &&
      !/^TS(Interface|TypeAlias)/.test((statement.declaration as Node | null)?.type ?? '') &&
      !declares(statement) &&
      names(statement, false),
  )
}

const isTypeName = ({ type }: Node): boolean =>
  ['TSTypeReference', 'TSTypeQuery', 'TSClassImplements', 'TSInterfaceHeritage'].includes(type)

// ---- What a module uses of others ------------------------------------------------------------------------------------

function usesOf(module: Module): Use[] {
  const uses: Use[] = []
  const add = (source: unknown, names: readonly string[]): void => {
    for (const target of targetsOf(module, source as Node))
      for (const name of names) uses.push({ target, name })
  }
  /** Imports at run time whose names are known. */
  const known = new Set<Node>()
  // Imports within a statement are written import(...): without one, statements that name no source are passed over.
  const isPlain = !module.text.includes('import(')
  for (const statement of module.body) {
    if (isPlain && !statement.source) continue
    walk(statement, (node) => {
      const imported = namesOfImport(node)
      if (imported) {
        known.add(imported.source)
        add(imported.source.source, imported.names)
      } else if (node.type === 'ImportExpression' && !known.has(node)) add(node.source, [ALL])
      else if (node.type === 'ImportDeclaration')
        add(
          node.source,
          (node.specifiers as Node[]).flatMap((specifier) => namesOf(specifier, module)),
        )
      else if (node.type === 'ExportNamedDeclaration' && node.source)
        add(
          node.source,
          (node.specifiers as Node[]).map(({ local }) => nameOf(local as Node)),
        )
      else if (node.type === 'ExportAllDeclaration' && node.exported) add(node.source, [ALL])
      else if (node.type === 'TSImportType')
        add(node.source, [node.qualifier ? nameOf(leftmost(node.qualifier as Node)) : ALL])
    })
  }
  return uses
}

/** `const { a } = await import(...)`, with a type behind it or not, `(await import(...)).a` and `import(...).then(({ a }) => ...)`; null for other nodes. */
function namesOfImport(node: Node): { readonly source: Node; readonly names: readonly string[] } | null {
  const awaited = (of: unknown): Node | null => {
    const { type, argument, expression } = (of ?? {}) as Node
    if (type === 'ParenthesizedExpression' || type === 'TSAsExpression') return awaited(expression)
    return type === 'AwaitExpression' && (argument as Node).type === 'ImportExpression'
      ? (argument as Node)
      : null
  }
  if (node.type === 'VariableDeclarator') {
    const source = awaited(node.init)
    return source && patternNames(source, node.id as Node)
  }
  if (node.type === 'MemberExpression') {
    const source = awaited(node.object)
    return source && !node.computed ? { source, names: [nameOf(node.property as Node)] } : null
  }
  const { type, object, property } = (node.callee ?? {}) as Node
  if (type !== 'MemberExpression' || (object as Node).type !== 'ImportExpression') return null
  const [then] = node.arguments as Node[]
  const [parameter] = (then?.params ?? []) as Node[]
  return nameOf(property as Node) === 'then' && parameter ? patternNames(object as Node, parameter) : null
}

function patternNames(source: Node, pattern: Node): { source: Node; names: string[] } | null {
  if (pattern.type !== 'ObjectPattern') return null
  const properties = pattern.properties as Node[]
  if (properties.some(({ type, computed }) => type !== 'Property' || computed)) return null
  return { source, names: properties.map(({ key }) => nameOf(key as Node)) }
}

/** The names that a part of an import statement takes. */
function namesOf(specifier: Node, module: Module): string[] {
  if (specifier.type === 'ImportDefaultSpecifier') return ['default']
  if (specifier.type === 'ImportSpecifier') return [nameOf(specifier.imported as Node)]
  return membersOf(nameOf(specifier.local as Node), module)
}

/** The members of a namespace that a module names; all, if it does anything else with the namespace. */
function membersOf(namespace: string, { body }: Module): string[] {
  const members: string[] = []
  for (const statement of body)
    walk(statement, (node, parent, key) => {
      if (node.type !== 'Identifier' || node.name !== namespace) return
      if (parent?.type === 'ImportNamespaceSpecifier') return
      if (parent?.type === 'MemberExpression' && key === 'object' && !parent.computed)
        members.push(nameOf(parent.property as Node))
      else if (parent?.type === 'TSQualifiedName' && key === 'left')
        members.push(nameOf(parent.right as Node))
      else if (!((key === 'property' || key === 'key') && !parent?.computed)) members.push(ALL)
    })
  return members
}

const leftmost = (name: Node): Node => (name.type === 'TSQualifiedName' ? leftmost(name.left as Node) : name)

/** The name that an identifier, or a string in its place, is. */
function nameOf(node: Node): string {
  return String(node.name ?? node.value)
}

/** Stands for any text within the name of a file. */
const ANY_TEXT = '\0'

/** The file that a literal names, as a path from the root; none for a package. A template names files with any text in its holes. */
function targetsOf({ path }: Module, source: Node): string[] {
  const { type, value, quasis } = (source.type === 'TSLiteralType' ? source.literal : source) as Node
  const name =
    type === 'TemplateLiteral'
      ? (quasis as { value: { cooked: string } }[]).map((part) => part.value.cooked).join(ANY_TEXT)
      : value
  return typeof name === 'string' && name.startsWith('.') ? [posix.join(posix.dirname(path), name)] : []
}

/** The files that a target names. */
function filesOf(target: string, known: ReadonlyMap<string, Module>): string[] {
  if (!target.includes(ANY_TEXT)) return [target]
  const [start, ...rest] = target.split(ANY_TEXT)
  const end = rest.at(-1) ?? ''
  return [...known.keys()].filter(
    (path) =>
      path.startsWith(start) && path.endsWith(end) && !path.slice(start.length, -end.length).includes('/'),
  )
}
