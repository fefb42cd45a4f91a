/**
 * Free and top-level names of a module: just enough scope analysis to distinguish a parameter `document` from the global
 * `document`.
 *
 * A block, a loop, a function, a catch clause and a function type each open a scope; a name is free if no scope around
 * it declares it. `var` is taken as block-scoped (the lint forbids it), and a name counts as declared in the whole of
 * its scope, as hoisting has it. Labels and type parameters are not followed.
 */
import type { Module, Node } from './syntax.ts'

const opensScope =
  /^(BlockStatement|For\w*Statement|SwitchStatement|CatchClause|StaticBlock|.*Function.*|TS.*(Signature|Type))$/

/** Every place where one of `names` is used without being declared by the module, in order. */
export function freeNames(module: Module, names: readonly string[]): Node[] {
  const top = new Set<string>()
  for (const statement of module.body) declare(statement, top)
  return namesOutside(module, names, [top])
}

/** Every place where one of `names` means what the module declares or imports at its top, in order. */
export function topNames(module: Module, names: readonly string[]): Node[] {
  return namesOutside(module, names, [])
}

/** Every place where one of `names` is used outside of these scopes, and outside of inner ones that declare it. */
function namesOutside(module: Module, names: readonly string[], outer: readonly Set<string>[]): Node[] {
  const found: Node[] = []
  const visit = (node: Node, parent: Node, key: string, scopes: readonly Set<string>[]): void => {
    if (node.type === 'Identifier' && names.includes(node.name as string) && !isName(parent, key)) {
      if (!scopes.some((scope) => scope.has(node.name as string))) found.push(node)
    }
    const inner = opensScope.test(node.type) ? [...scopes, declaredIn(node)] : scopes
    for (const [field, child] of children(node)) visit(child, node, field, inner)
  }
  for (const statement of module.body) visit(statement, statement, 'body', outer)
  return found
}

/** Whether an identifier only names a member, a key or an export: no variable is meant. */
function isName(parent: Node, key: string): boolean {
  if (key === 'property' || key === 'key') return !parent.computed
  return key === 'label' || key === 'imported' || key === 'exported'
}

function declaredIn(scope: Node): Set<string> {
  const names = new Set<string>()
  for (const param of (scope.params as Node[] | undefined) ?? []) bind(param, names)
  if (scope.param) bind(scope.param as Node, names)
  for (const [, child] of children(scope)) declare(child, names)
  return names
}

/** The names a statement declares in the scope it stands in. */
function declare(statement: Node, names: Set<string>): void {
  if (/^Export(Named|Default)Declaration$/.test(statement.type) && statement.declaration) {
    declare(statement.declaration as Node, names)
  }
  if (/^(Function|Class)Declaration$/.test(statement.type) && statement.id) bind(statement.id as Node, names)
  if (statement.type === 'VariableDeclaration') {
    for (const { id } of statement.declarations as Node[]) bind(id as Node, names)
  }
  if (statement.type === 'ImportDeclaration') {
    for (const { local } of statement.specifiers as Node[]) bind(local as Node, names)
  }
}

/** The names a pattern binds; values by default and computed keys are no part of it. */
function bind(pattern: Node | null, names: Set<string>): void {
  if (pattern === null) return
  if (pattern.type === 'Identifier') names.add(pattern.name as string)
  if (pattern.type === 'ObjectPattern') for (const item of pattern.properties as Node[]) bind(item, names)
  if (pattern.type === 'ArrayPattern')
    for (const item of pattern.elements as (Node | null)[]) bind(item, names)
  if (pattern.type === 'Property') bind(pattern.value as Node, names)
  if (pattern.type === 'AssignmentPattern') bind(pattern.left as Node, names)
  if (pattern.type === 'RestElement') bind(pattern.argument as Node, names)
}

function children(node: Node): [string, Node][] {
  return Object.entries(node).flatMap(([field, value]) =>
    (Array.isArray(value) ? value : [value])
      .filter((child): child is Node => typeof (child as Node | null)?.type === 'string')
      .map((child): [string, Node] => [field, child]),
  )
}
