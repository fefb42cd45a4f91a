/**
 * HellaSwag (Zellers et al. 2019): how a description goes on. Bracketed marks of WikiHow are removed.
 */
import { capitalize, strip } from '../python_text.ts'
import { choose, type Task } from './task.ts'

export const hellaswag: Task = {
  name: 'hellaswag',
  version: 1,
  metrics: ['acc', 'acc_norm'],
  fields: 'activity_label, ctx_a, ctx_b (or ctx, made ready), endings, label',
  read(row) {
    const context = row.has('ctx_a')
      ? `${row.text('activity_label')}: ${row.anyText('ctx_a')} ${capitalize(row.anyText('ctx_b'))}`
      : row.text('ctx')
    const endings = row.texts('endings').map(clean)
    return choose(clean(context), endings, row.index('label', endings.length))
  },
}

/** As the harness cleans it, step by step: two spaces become one once, so four become two. */
export function clean(text: string): string {
  return withoutBrackets(strip(text).replaceAll(' [title]', '. ')).replaceAll('  ', ' ')
}

/** Without "[...]" on one line; in one pass, since a regular expression takes n^2 steps for n opening brackets. */
function withoutBrackets(text: string): string {
  let kept = ''
  let start = 0
  let close = -1
  let lineEnd = -1
  for (let open = text.indexOf('['); open >= 0; open = text.indexOf('[', Math.max(start, open + 1))) {
    if (close < open) close = text.indexOf(']', open)
    if (close < 0) break
    if (lineEnd < open) lineEnd = (text.indexOf('\n', open) + text.length + 1) % (text.length + 1)
    if (lineEnd < close) continue
    kept += text.slice(start, open)
    start = close + 1
  }
  return kept + text.slice(start)
}
