package calc;

final class Sum {
    static Long to(int last) {
        long sum = 0;
        for (int n = 1; n <= last; n++) {
            sum += n;
        }
        return sum;
    }

    private Sum() {}
}
