#include "stack.h"
void push(struct stack *stack, long item) { stack->items[stack->used++] = item; }
long pop(struct stack *stack) { return stack->items[--stack->used]; }
