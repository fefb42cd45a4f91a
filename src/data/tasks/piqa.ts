/**
 * PIQA (Bisk et al. 2020): which of two actions reaches a goal in everyday physics.
 */
import { choose, type Task } from './task.ts'

export const piqa: Task = {
  name: 'piqa',
  version: 1,
  metrics: ['acc', 'acc_norm'],
  fields: 'goal, sol1, sol2, label',
  read: (row) =>
    choose(
      `Question: ${row.text('goal')}\nAnswer:`,
      [row.text('sol1'), row.text('sol2')],
      row.index('label', 2),
    ),
}
