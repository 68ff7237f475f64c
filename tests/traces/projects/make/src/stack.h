struct stack { long items[64]; int used; };
void push(struct stack *stack, long item);
long pop(struct stack *stack);
